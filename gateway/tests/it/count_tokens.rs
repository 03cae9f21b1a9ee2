//! `/v1/messages/count_tokens`.

use http::Method;
use serde_json::json;

use crate::{
    messages::{VERSION, document},
    rig::Rig,
};

#[tokio::test]
async fn counts_tokens_with_bedrock_or_returns_an_error() {
    let rig = Rig::with_document(&document()).await;
    let count = async |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "how long is this?" }],
            "thinking": { "type": "enabled", "budget_tokens": 2000 },
            "tools": [{ "name": "f", "description": "d", "input_schema": { "type": "object" } }] });
        rig.call(
            Method::POST,
            "/v1/messages/count_tokens",
            &[VERSION],
            body.to_string(),
        )
        .await
    };
    let mut counts = Vec::new();
    for model in ["invoke", "converse"] {
        rig.double.clear_calls();
        let response = count(model).await;
        assert_eq!(response.status, 200, "{model}: {}", response.text());
        counts.push(response.json()["input_tokens"].as_u64().unwrap());
        let call = &rig.calls()[0];
        assert_eq!(call.operation, "CountTokens");
        // The foundation model's id: Bedrock does not count tokens for inference profiles.
        assert_eq!(
            call.model.as_deref(),
            Some("anthropic.claude-sonnet-4-5-20250929-v1:0")
        );
        assert!(response.headers.contains_key("request-id"));
    }
    assert!(counts[0] > 10);
    assert_eq!(counts[0], counts[1]);

    let rejected = count("nova").await;
    assert_eq!(rejected.status, 404, "{}", rejected.text());
    assert_eq!(rejected.json()["type"], "error");
    assert_eq!(rejected.error()["type"], "not_found_error");
    assert!(
        rejected.error()["message"]
            .as_str()
            .unwrap()
            .contains("nova")
    );
}

#[tokio::test]
async fn counts_tokens_for_an_application_profile_with_a_base_model() {
    let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2c3d4e5f6";
    let rig = Rig::with_document(&format!(
        "clients: {{anonymous: true}}\nmodels:\n\
         - {{name: hidden, targets: [{{modelId: '{arn}', api: InvokeModel}}]}}\n\
         - {{name: named, targets: [{{modelId: '{arn}', baseModel: 'anthropic.claude-sonnet-4-5-20250929-v1:0'}}]}}\n"
    ))
    .await;
    let count = async |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "hi" }] });
        rig.call(
            Method::POST,
            "/v1/messages/count_tokens",
            &[VERSION],
            body.to_string(),
        )
        .await
    };
    let hidden = count("hidden").await;
    assert_eq!(hidden.status, 404);
    assert!(hidden.text().contains("baseModel"), "{}", hidden.text());
    let named = count("named").await;
    assert_eq!(named.status, 200, "{}", named.text());
}
