//! `/v1/images/generations`, with simulated models of three providers.

use http::Method;
use serde_json::{Value, json};

use awsdouble::{Fault, FaultAction};

use crate::rig::{Response, Rig};

const PATH: &str = "/v1/images/generations";
const DOCUMENT: &str = "clients: {anonymous: true}\nmodels:\n- {name: canvas, targets: [{modelId: 'amazon.nova-canvas-v1:0'}]}\n- {name: titan, targets: [{modelId: 'amazon.titan-image-generator-v2:0'}]}\n- {name: stable, targets: [{modelId: 'stability.stable-image-core-v1:1', region: us-west-2}]}\n- {name: chat, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}";

async fn ask(rig: &Rig, body: &Value) -> Response {
    rig.call(Method::POST, PATH, &[], body.to_string()).await
}

#[tokio::test]
async fn each_provider_returns_the_requested_number_of_different_images() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (model, calls) in [("canvas", 2), ("titan", 2), ("stable", 7)] {
        rig.double.clear_calls();
        let body = json!({"model": model, "prompt": "a fox", "n": 7, "size": "1024x1024"});
        let response = ask(&rig, &body).await;
        assert_eq!(response.status, 200, "{model}: {}", response.text());
        let list = response.json();
        let mut images: Vec<&str> = list["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["b64_json"].as_str().unwrap())
            .collect();
        assert!(images.iter().all(|image| image.starts_with("iVBORw0KGgo")));
        assert_eq!(images.len(), 7, "{model}");
        images.sort_unstable();
        images.dedup();
        assert_eq!(images.len(), 7, "{model}: all images are different");
        assert_eq!(rig.double.calls_of("InvokeModel").len(), calls, "{model}");
    }
}

#[tokio::test]
async fn the_same_seed_returns_the_same_image() {
    let rig = Rig::with_document(DOCUMENT).await;
    let generate = async |body: Value| ask(&rig, &body).await.json()["data"].clone();
    let seeded = json!({"model": "canvas", "prompt": "a fox", "seed": 7});
    assert_eq!(generate(seeded.clone()).await, generate(seeded).await);
    let free = json!({"model": "canvas", "prompt": "a fox"});
    assert_ne!(generate(free.clone()).await, generate(free).await);
}

#[tokio::test]
async fn errors_name_the_field_and_the_fix() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (body, param, text) in [
        (json!({"model": "canvas"}), "prompt", "is required"),
        (
            json!({"model": "canvas", "prompt": "x", "response_format": "url"}),
            "response_format",
            "b64_json",
        ),
        (
            json!({"model": "chat", "prompt": "x"}),
            "model",
            "/v1/chat/completions",
        ),
    ] {
        let response = ask(&rig, &body).await;
        assert_eq!(response.status, 400, "{}", response.text());
        assert_eq!(response.error()["param"], param);
        let message = response.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(text), "{message}");
    }
    let chat = rig
        .call(
            Method::POST,
            "/v1/chat/completions",
            &[],
            json!({"model": "canvas", "messages": [{"role": "user", "content": "hi"}]}).to_string(),
        )
        .await;
    let message = chat.error()["message"].as_str().unwrap().to_owned();
    assert!(message.contains(PATH), "{message}");
    assert!(rig.calls().is_empty());
}

#[tokio::test]
async fn errors_of_bedrocks_content_filter_keep_their_message() {
    let rig = Rig::with_document(DOCUMENT).await;
    let message = "This request has been blocked by our content filters.";
    rig.double.inject(Fault::new(
        "InvokeModel",
        FaultAction::Error {
            status: 400,
            code: "ValidationException".to_owned(),
            message: message.to_owned(),
            empty_body: false,
        },
    ));
    let response = ask(&rig, &json!({"model": "canvas", "prompt": "x"})).await;
    assert_eq!(response.status, 400);
    assert_eq!(response.error()["message"], message);
}
