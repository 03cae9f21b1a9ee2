//! Compares the gateway's table of served APIs with the double's independent one: the gateway sends each request to an
//! API that serves the model, and rejects requests for models that no API serves.

use ::http::Method;
use awsdouble::{Call, Config, Double, allow_bedrock};
use serde_json::{Value, json};

use crate::support::{
    gateway::{Gateway, KEY},
    http::{self, request},
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const BEDROCK_KEY: &str = "ABSKa-bedrock-api-key-of-this-test";

async fn rig() -> (Double, Gateway, tempfile::TempDir) {
    let config = Config::default()
        .with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock())
        .with_bearer_key("reader", BEDROCK_KEY, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let document = directory.path().join("gateway.yaml");
    let text = format!(
        "allow: ['*']\nendpoints: {{bedrockMantle: '{}'}}",
        double.mantle_url()
    );
    std::fs::write(&document, text).unwrap();
    let gateway = Gateway::start(
        &[
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &double.url()),
        ],
        Some(&document),
    )
    .await;
    gateway.ready().await;
    (double, gateway, directory)
}

/// A model id of mantle without the date that bedrock-runtime's id has. It looks like an alias, so the gateway's table
/// resolves it to the model's family; its target needs `api: Mantle`.
const UNDATED: &str = "anthropic.claude-haiku-4-5";

/// The ids that bedrock-mantle lists, and inference profiles that only bedrock-runtime has.
async fn models(double: &Double) -> Vec<String> {
    let key = format!("Bearer {BEDROCK_KEY}");
    let url = format!("{}/v1/models", double.mantle_url());
    let response = request(Method::GET, &url, &[("authorization", &key)], "")
        .await
        .unwrap();
    let listed = response.json();
    let listed = listed["data"]
        .as_array()
        .unwrap_or_else(|| panic!("{listed}"));
    let ids = listed
        .iter()
        .map(|model| model["id"].as_str().unwrap().to_owned())
        .filter(|id| id != UNDATED);
    let profiles = [
        "us.openai.gpt-5.6-sol",
        "global.openai.gpt-5.6-terra",
        "openai.gpt-oss-20b-1:0",
        "us.anthropic.claude-opus-4-7",
        "us.amazon.nova-2-lite-v1:0",
    ];
    ids.chain(profiles.map(str::to_owned)).collect()
}

/// Whether Bedrock rejected a model id without on-demand throughput; the message names the inference profile.
fn names_a_profile(call: &Call) -> bool {
    let message = call.message.as_deref().unwrap_or_default();
    message.contains("on-demand throughput")
}

#[tokio::test]
async fn routes_every_model_to_an_api_that_serves_it_or_rejects_the_request() {
    let (double, gateway, _directory) = rig().await;
    let (mut served, mut rejected, mut wrong) = (0, 0, Vec::new());
    for model in models(&double).await {
        let messages = json!([{"role": "user", "content": "hi"}]);
        for (path, body) in [
            (
                "chat/completions",
                json!({"model": model, "messages": messages}),
            ),
            (
                "responses",
                json!({"model": model, "input": "hi", "store": false}),
            ),
            (
                "messages",
                json!({"model": model, "max_tokens": 9, "messages": messages}),
            ),
        ] {
            double.clear_calls();
            let url = format!("{}/{path}", gateway.openai_url());
            let response = http::post(&url, KEY, &body).await.unwrap();
            let calls = double.calls();
            match (response.status.as_u16(), calls.last()) {
                (200, Some(_)) => served += 1,
                (400, None) => {
                    let advice: Value = response.json();
                    let advice = advice["error"]["message"].as_str().unwrap();
                    assert!(advice.contains("/v1/"), "{model} {path}: {advice}");
                    rejected += 1;
                }
                (400, Some(call)) if names_a_profile(call) => rejected += 1,
                (status, _) => wrong.push(format!("{model} {path}: {status} {}", response.text())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        served > 40 && rejected > 20,
        "{served} served, {rejected} rejected"
    );
}
