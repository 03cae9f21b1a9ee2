//! Embeddings, with a fake InvokeModel that derives vectors from texts.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, routing::post};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{MODEL, Plan, Rig};

/// A vector that is unique among the texts of these tests.
fn vector(text: &str) -> [f64; 2] {
    let sum: u32 = text.bytes().map(u32::from).sum();
    [
        f64::from(sum),
        f64::from(u32::try_from(text.len()).unwrap()),
    ]
}

/// Starts a fake Titan that responds to later texts earlier; returns its URL and the maximum of concurrent calls.
async fn titan() -> (String, Arc<AtomicUsize>) {
    let maximum = Arc::new(AtomicUsize::new(0));
    let current = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&maximum);
    let router = Router::new().route(
        "/model/{id}/invoke",
        post(async move |Json(body): Json<Value>| {
            seen.fetch_max(current.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let text = body["inputText"].as_str().unwrap().to_owned();
            let number: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
            // sleep: respond to later texts earlier, so that responses arrive out of order.
            tokio::time::sleep(std::time::Duration::from_millis(40 - 2 * number)).await;
            current.fetch_sub(1, Ordering::SeqCst);
            Json(json!({ "embedding": vector(&text), "inputTextTokenCount": 3 }))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), maximum)
}

#[tokio::test]
async fn returns_vectors_in_order_and_counts_tokens() {
    let (url, maximum) = titan().await;
    let mut plan = Plan::default();
    plan.environment
        .push(("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(), url));
    let rig = Rig::start(plan).await;
    let texts: Vec<String> = (0..20).map(|n| format!("text number {n}")).collect();
    let body = json!({ "model": "amazon.titan-embed-text-v2:0", "input": texts });
    let response = rig
        .call(Method::POST, "/v1/embeddings", &[], body.to_string())
        .await;
    assert_eq!(response.status, 200, "{}", response.text());
    let response = response.json();
    assert_eq!(response["object"], "list");
    assert_eq!(response["usage"]["prompt_tokens"], 60);
    let data = response["data"].as_array().unwrap();
    assert_eq!(data.len(), 20);
    for (index, (entry, text)) in data.iter().zip(&texts).enumerate() {
        assert_eq!(entry["index"], index);
        let got: Vec<f64> = serde_json::from_value(entry["embedding"].clone()).unwrap();
        assert_eq!(got, vector(text), "{text}");
    }
    let maximum = maximum.load(Ordering::SeqCst);
    assert!((2..=8).contains(&maximum), "{maximum} concurrent calls");
    let tokens = "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"embeddings\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"amazon.titan-embed-text-v2:0\",gen_ai_token_type=\"input\"}";
    assert_eq!(rig.metric(tokens).await, Some(60.0));
}

#[tokio::test]
async fn rejects_a_model_without_embeddings() {
    let rig = Rig::laptop().await;
    let body = json!({ "model": MODEL, "input": "x" });
    let rejected = rig
        .call(Method::POST, "/v1/embeddings", &[], body.to_string())
        .await;
    assert_eq!(rejected.status, 400);
    assert_eq!(rejected.error()["param"], "model");
    assert!(rig.calls().is_empty());
}
