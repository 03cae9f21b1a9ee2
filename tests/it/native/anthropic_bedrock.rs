//! `AnthropicBedrock`, Anthropic's client for Bedrock, for Python and Node: by signature, with the key as access key
//! id or as the secret, and by bearer key.

use serde_json::{Value, json};

use super::{KEY, PROMPT, rig, url};
use crate::support::{
    clients::{node_client, python_client},
    lane,
};

const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const WAYS: [&str; 3] = ["key as id", "signed", "bearer"];

fn environment(url: &str) -> Vec<(&str, &str)> {
    vec![
        ("ANTHROPIC_BEDROCK_BASE_URL", url),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("KEY", KEY),
        ("MODEL", MODEL),
        ("PROMPT", PROMPT),
    ]
}

fn check(seen: &Value) {
    for way in WAYS {
        let seen = &seen[way];
        assert_eq!(seen["plain"], PROMPT, "{way}: {seen}");
        assert_eq!(
            seen["streamed"],
            json!([PROMPT, "end_turn"]),
            "{way}: {seen}"
        );
        assert_eq!(
            seen["throttled"],
            json!(["RateLimitError", 429]),
            "{way}: {seen}"
        );
    }
    assert_eq!(
        seen["stranger"],
        json!(["AuthenticationError", 401]),
        "{seen}"
    );
}

#[tokio::test]
async fn anthropic_bedrock_streams_thinks_and_calls_tools_by_signature_and_by_key() {
    let (double, gateway) = rig().await;
    let url = url(&gateway);
    let seen = python_client("anthropic/bedrock.py", &environment(&url)).await;
    check(&seen);
    for way in WAYS {
        let tools = &seen[way]["tools"];
        assert_eq!(
            tools["kinds"],
            json!(["thinking", "tool_use"]),
            "{way}: {tools}"
        );
        assert_eq!(tools["inputs"], json!([r#"{"days": 3, "city": "Ulm"}"#]));
        assert!(
            tools["answer"].as_str().unwrap().contains("sunny"),
            "{tools}"
        );
    }
    assert!(
        double.calls_of("Converse").is_empty(),
        "only what it asked for"
    );
    let call = &double.calls_of("InvokeModelWithResponseStream")[0];
    let identity = call.identity.as_ref().unwrap();
    assert_eq!(
        identity.access_key_id, "AKIAIOSFODNN7EXAMPLE",
        "signed by the gateway"
    );
    assert!(!call.headers.values().any(|value| value.contains(KEY)));
}

#[tokio::test]
async fn anthropic_bedrock_for_node_streams_and_calls_tools_by_signature_and_by_key() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    let seen = node_client("anthropic_bedrock.mjs", &environment(&url)).await;
    check(&seen);
    for way in WAYS {
        assert_eq!(seen[way]["input"], r#"{"days":3,"city":"Ulm"}"#, "{way}");
        assert!(
            seen[way]["answer"].as_str().unwrap().contains("sunny"),
            "{seen}"
        );
    }
}
