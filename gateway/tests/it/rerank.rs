//! `/v1/rerank` and `/v2/rerank`, with simulated models of two providers.

use http::Method;
use serde_json::{Value, json};

use crate::{
    errors::EXCEPTIONS,
    rig::{Response, Rig},
};
use awsdouble::{Fault, FaultAction};

const DOCUMENT: &str = "clients: {anonymous: true}\nmodels:\n- {name: cohere, targets: [{modelId: 'cohere.rerank-v3-5:0'}]}\n- {name: amazon, targets: [{modelId: 'amazon.rerank-v1:0', region: us-west-2}]}\n- {name: chat, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}";

async fn ask(rig: &Rig, path: &str, body: &Value) -> Response {
    rig.call(Method::POST, path, &[], body.to_string()).await
}

#[tokio::test]
async fn returns_documents_by_descending_score_on_both_paths() {
    let rig = Rig::with_document(DOCUMENT).await;
    for model in ["cohere", "amazon"] {
        for path in ["/v1/rerank", "/v2/rerank"] {
            let body = json!({"model": model, "query": "red fox", "documents": ["a cat", {"text": "a red fox"}, "a fox"],
                "top_n": 2, "return_documents": true});
            let response = ask(&rig, path, &body).await;
            assert_eq!(response.status, 200, "{model}: {}", response.text());
            let response = response.json();
            let order: Vec<(u64, &str)> = response["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| {
                    let text = one["document"]["text"].as_str().unwrap();
                    (one["index"].as_u64().unwrap(), text)
                })
                .collect();
            assert_eq!(order, [(1, "a red fox"), (2, "a fox")]);
            assert!(response["usage"]["total_tokens"].as_u64().unwrap() > 0);
            assert_eq!(response["model"], model);
        }
    }
}

#[tokio::test]
async fn errors_name_the_field_for_missing_documents_and_other_models() {
    let rig = Rig::with_document(DOCUMENT).await;
    let response = ask(
        &rig,
        "/v1/rerank",
        &json!({"model": "cohere", "query": "q"}),
    )
    .await;
    assert_eq!(
        (response.status.as_u16(), response.error()["param"].clone()),
        (400, json!("documents"))
    );
    let response = ask(
        &rig,
        "/v1/rerank",
        &json!({"model": "chat", "query": "q", "documents": ["a"]}),
    )
    .await;
    assert_eq!(response.error()["param"], "model");
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn each_aws_exception_keeps_its_message() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (code, status, expected) in EXCEPTIONS {
        for empty_body in [false, true] {
            rig.double.clear_faults();
            let action = FaultAction::Error {
                status,
                code: code.to_owned(),
                message: format!("AWS's message for {code}"),
                empty_body,
            };
            rig.double.inject(Fault::new("InvokeModel", action));
            let body = json!({"model": "cohere", "query": "q", "documents": ["a"]});
            let response = ask(&rig, "/v1/rerank", &body).await;
            assert_eq!(response.status, expected, "{code}");
            let message = response.error()["message"].as_str().unwrap().to_owned();
            assert!(
                message.starts_with(&format!("AWS's message for {code}")),
                "{message}"
            );
        }
    }
}
