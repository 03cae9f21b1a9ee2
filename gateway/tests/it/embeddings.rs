//! Embeddings, in front of a stand-in for InvokeModel that makes its vectors from the text.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Json, Router, routing::post};
use http::Method;
use serde_json::{Value, json};

use crate::rig::{MODEL, Plan, Rig};

/// A vector that no other text of these tests has.
fn vector(text: &str) -> [f64; 2] {
    let sum: u32 = text.bytes().map(u32::from).sum();
    [
        f64::from(sum),
        f64::from(u32::try_from(text.len()).unwrap()),
    ]
}

/// Answers as Titan does, later texts sooner than earlier ones; gives its address and most calls at once.
async fn titan() -> (String, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let router = Router::new().route(
        "/model/{id}/invoke",
        post(async move |Json(body): Json<Value>| {
            seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            let text = body["inputText"].as_str().unwrap().to_owned();
            let number: u64 = text.rsplit(' ').next().unwrap().parse().unwrap();
            // sleep: later texts are answered sooner, so that answers come out of order.
            tokio::time::sleep(std::time::Duration::from_millis(40 - 2 * number)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Json(json!({ "embedding": vector(&text), "inputTextTokenCount": 3 }))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    (format!("http://{address}"), most)
}

#[tokio::test]
async fn vectors_of_many_texts_come_back_in_order_and_are_counted() {
    let (url, most) = titan().await;
    let mut plan = Plan::default();
    plan.environment
        .push(("AWS_ENDPOINT_URL_BEDROCK_RUNTIME".into(), url));
    let rig = Rig::start(plan).await;
    let texts: Vec<String> = (0..20).map(|n| format!("text number {n}")).collect();
    let body = json!({ "model": "amazon.titan-embed-text-v2:0", "input": texts });
    let answer = rig
        .call(Method::POST, "/v1/embeddings", &[], body.to_string())
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer = answer.json();
    assert_eq!(answer["object"], "list");
    assert_eq!(answer["usage"]["prompt_tokens"], 60);
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.len(), 20);
    for (index, (entry, text)) in data.iter().zip(&texts).enumerate() {
        assert_eq!(entry["index"], index);
        let got: Vec<f64> = serde_json::from_value(entry["embedding"].clone()).unwrap();
        assert_eq!(got, vector(text), "{text}");
    }
    let most = most.load(Ordering::SeqCst);
    assert!((2..=8).contains(&most), "{most} calls at once");
    let tokens = "gen_ai_client_token_usage_sum{gen_ai_operation_name=\"embeddings\",gen_ai_provider_name=\"aws.bedrock\",gen_ai_request_model=\"amazon.titan-embed-text-v2:0\",client=\"anonymous\",gen_ai_token_type=\"input\"}";
    assert_eq!(rig.metric(tokens).await, Some(60.0));
}

#[tokio::test]
async fn model_that_makes_no_embeddings_is_refused() {
    let rig = Rig::laptop().await;
    let body = json!({ "model": MODEL, "input": "x" });
    let refused = rig
        .call(Method::POST, "/v1/embeddings", &[], body.to_string())
        .await;
    assert_eq!(refused.status, 400);
    assert_eq!(refused.error()["param"], "model");
    assert!(rig.double.calls().is_empty());
}
