//! `/v1/rerank` and `/v2/rerank`, in front of simulated models of two makers.

use http::Method;
use serde_json::{Value, json};

use crate::{
    errors::EXCEPTIONS,
    rig::{Answer, Rig},
};
use awsdouble::{Fault, FaultAction};

const DOCUMENT: &str = "clients: {anonymous: true}\nmodels:\n- {name: cohere, targets: [{modelId: 'cohere.rerank-v3-5:0'}]}\n- {name: amazon, targets: [{modelId: 'amazon.rerank-v1:0', region: us-west-2}]}\n- {name: chat, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}";

async fn ask(rig: &Rig, path: &str, body: &Value) -> Answer {
    rig.call(Method::POST, path, &[], body.to_string()).await
}

#[tokio::test]
async fn documents_come_back_best_first_on_both_paths() {
    let rig = Rig::with_document(DOCUMENT).await;
    for model in ["cohere", "amazon"] {
        for path in ["/v1/rerank", "/v2/rerank"] {
            let body = json!({"model": model, "query": "red fox", "documents": ["a cat", {"text": "a red fox"}, "a fox"],
                "top_n": 2, "return_documents": true});
            let answer = ask(&rig, path, &body).await;
            assert_eq!(answer.status, 200, "{model}: {}", answer.text());
            let answer = answer.json();
            let order: Vec<(u64, &str)> = answer["results"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| {
                    let text = one["document"]["text"].as_str().unwrap();
                    (one["index"].as_u64().unwrap(), text)
                })
                .collect();
            assert_eq!(order, [(1, "a red fox"), (2, "a fox")]);
            assert!(answer["usage"]["total_tokens"].as_u64().unwrap() > 0);
            assert_eq!(answer["model"], model);
        }
    }
}

#[tokio::test]
async fn refusals_name_the_field_and_models_for_something_else_the_way_out() {
    let rig = Rig::with_document(DOCUMENT).await;
    let answer = ask(
        &rig,
        "/v1/rerank",
        &json!({"model": "cohere", "query": "q"}),
    )
    .await;
    assert_eq!(
        (answer.status.as_u16(), answer.error()["param"].clone()),
        (400, json!("documents"))
    );
    let answer = ask(
        &rig,
        "/v1/rerank",
        &json!({"model": "chat", "query": "q", "documents": ["a"]}),
    )
    .await;
    assert_eq!(answer.error()["param"], "model");
    assert!(rig.double.calls().is_empty());
}

#[tokio::test]
async fn each_aws_exception_keeps_its_name_and_text() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (code, status, expected) in EXCEPTIONS {
        for empty_body in [false, true] {
            rig.double.clear_faults();
            let action = FaultAction::Error {
                status,
                code: code.to_owned(),
                message: format!("what AWS says of {code}"),
                empty_body,
            };
            rig.double.inject(Fault::new("InvokeModel", action));
            let body = json!({"model": "cohere", "query": "q", "documents": ["a"]});
            let answer = ask(&rig, "/v1/rerank", &body).await;
            assert_eq!(answer.status, expected, "{code}");
            assert_eq!(
                answer.error()["message"],
                format!("what AWS says of {code}")
            );
        }
    }
}
