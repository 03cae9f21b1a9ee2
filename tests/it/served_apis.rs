//! The gateway's table of surfaces against the double's, which were written apart: whatever Bedrock serves, the
//! gateway asks for where it is served; whatever it does not, the gateway refuses itself.

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
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("gateway.yaml");
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
    (double, gateway, folder)
}

/// Mantle's id of a model that bedrock-runtime knows by its date. It looks like the name people give to it, so that the
/// gateway's table leads it to the model's family; its target says `api: Mantle`.
const UNDATED: &str = "anthropic.claude-haiku-4-5";

/// Ids that bedrock-mantle lists, and the profiles that only bedrock-runtime has.
async fn models(double: &Double) -> Vec<String> {
    let key = format!("Bearer {BEDROCK_KEY}");
    let url = format!("{}/v1/models", double.mantle_url());
    let answer = request(Method::GET, &url, &[("authorization", &key)], "")
        .await
        .unwrap();
    let listed = answer.json();
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

/// A bare id of a model that has profiles only: what Bedrock says of it names the way out.
fn names_a_profile(call: &Call) -> bool {
    let said = call.message.as_deref().unwrap_or_default();
    said.contains("on-demand throughput")
}

#[tokio::test]
async fn every_model_is_asked_for_where_it_is_served_or_refused_by_the_gateway() {
    let (double, gateway, _folder) = rig().await;
    let (mut served, mut refused, mut wrong) = (0, 0, Vec::new());
    for model in models(&double).await {
        let said = json!([{"role": "user", "content": "hi"}]);
        for (path, body) in [
            (
                "chat/completions",
                json!({"model": model, "messages": said}),
            ),
            (
                "responses",
                json!({"model": model, "input": "hi", "store": false}),
            ),
            (
                "messages",
                json!({"model": model, "max_tokens": 9, "messages": said}),
            ),
        ] {
            double.clear_calls();
            let url = format!("{}/{path}", gateway.openai_url());
            let answer = http::post(&url, KEY, &body).await.unwrap();
            let calls = double.calls();
            match (answer.status.as_u16(), calls.last()) {
                (200, Some(_)) => served += 1,
                (400, None) => {
                    let advice: Value = answer.json();
                    let advice = advice["error"]["message"].as_str().unwrap();
                    assert!(advice.contains("/v1/"), "{model} {path}: {advice}");
                    refused += 1;
                }
                (400, Some(call)) if names_a_profile(call) => refused += 1,
                (status, _) => wrong.push(format!("{model} {path}: {status} {}", answer.text())),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        served > 40 && refused > 20,
        "{served} served, {refused} refused"
    );
}
