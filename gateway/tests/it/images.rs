//! `/v1/images/generations`, in front of simulated models of three makers.

use http::Method;
use serde_json::{Value, json};

use awsdouble::{Fault, FaultAction};

use crate::rig::{Answer, Rig};

const PATH: &str = "/v1/images/generations";
const DOCUMENT: &str = "clients: {anonymous: true}\nmodels:\n- {name: canvas, targets: [{modelId: 'amazon.nova-canvas-v1:0'}]}\n- {name: titan, targets: [{modelId: 'amazon.titan-image-generator-v2:0'}]}\n- {name: stable, targets: [{modelId: 'stability.stable-image-core-v1:1', region: us-west-2}]}\n- {name: chat, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}";

async fn ask(rig: &Rig, body: &Value) -> Answer {
    rig.call(Method::POST, PATH, &[], body.to_string()).await
}

#[tokio::test]
async fn each_maker_gives_as_many_different_pictures_as_were_asked_for() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (model, calls) in [("canvas", 2), ("titan", 2), ("stable", 7)] {
        rig.double.clear_calls();
        let body = json!({"model": model, "prompt": "a fox", "n": 7, "size": "1024x1024"});
        let answer = ask(&rig, &body).await;
        assert_eq!(answer.status, 200, "{model}: {}", answer.text());
        let list = answer.json();
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
        assert_eq!(images.len(), 7, "{model}: all are different");
        assert_eq!(rig.double.calls_of("InvokeModel").len(), calls, "{model}");
    }
}

#[tokio::test]
async fn same_seed_gives_the_same_picture_and_none_another_each_time() {
    let rig = Rig::with_document(DOCUMENT).await;
    let draw = async |body: Value| ask(&rig, &body).await.json()["data"].clone();
    let seeded = json!({"model": "canvas", "prompt": "a fox", "seed": 7});
    assert_eq!(draw(seeded.clone()).await, draw(seeded).await);
    let free = json!({"model": "canvas", "prompt": "a fox"});
    assert_ne!(draw(free.clone()).await, draw(free).await);
}

#[tokio::test]
async fn refusals_name_the_field_and_the_way_out() {
    let rig = Rig::with_document(DOCUMENT).await;
    for (body, param, says) in [
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
        let answer = ask(&rig, &body).await;
        assert_eq!(answer.status, 400, "{}", answer.text());
        assert_eq!(answer.error()["param"], param);
        let message = answer.error()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(says), "{message}");
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
    assert!(rig.double.calls().is_empty());
}

#[tokio::test]
async fn refusal_of_bedrocks_filter_keeps_its_text() {
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
    let answer = ask(&rig, &json!({"model": "canvas", "prompt": "x"})).await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.error()["message"], message);
}
