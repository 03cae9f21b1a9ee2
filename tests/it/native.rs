//! Real clients of Bedrock's own API, with nothing changed but an endpoint and a key: boto3, LangChain AWS, AWS SDK
//! for JavaScript, Rust and Go, the AWS CLI as in the guide, AnthropicBedrock, and requests of Claude Code.

mod anthropic_bedrock;
mod claude_code;
mod encrypted;
mod guide;
mod rust_sdk;

use std::path::Path;

use awsdouble::{Config, Double, allow_bedrock};
use serde_json::{Value, json};

use crate::support::{
    clients::{go_client, node_client, python_client},
    gateway::{Gateway, KEY},
    lane,
};

const MODEL: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const PROFILE: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc123";
const PROMPT: &str = "Grüße – 5 € – 🦊";

async fn rig() -> (Double, Gateway) {
    rig_with(None).await
}

/// A gateway with this configuration document.
async fn rig_with(document: Option<&Path>) -> (Double, Gateway) {
    let config = Config::from_yaml(&format!(
        "inference_profiles: [{{id: abc123, model: '{MODEL}', regions: [us-east-1], application: true}}]"
    ))
    .unwrap()
    .with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let gateway = Gateway::start(
        &[
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL", &double.url()),
        ],
        document,
    )
    .await;
    gateway.ready().await;
    (double, gateway)
}

fn url(gateway: &Gateway) -> String {
    format!("http://{}", gateway.address)
}

/// The environment of an AWS client.
fn bearer<'a>(url: &'a str, more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    let mut environment = vec![
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url),
        ("AWS_BEARER_TOKEN_BEDROCK", KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        // No configuration of this machine.
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        ("MODEL", MODEL),
        ("PROMPT", PROMPT),
    ];
    environment.extend_from_slice(more);
    environment
}

/// Credentials of clients that send no bearer token over `http://` (boto3, the SDK for Go): the client's name and key.
fn signed<'a>(url: &'a str, more: &[(&'static str, &'a str)]) -> Vec<(&'static str, &'a str)> {
    let mut environment = bearer(url, more);
    environment.retain(|(name, _)| *name != "AWS_BEARER_TOKEN_BEDROCK");
    environment.extend([
        ("AWS_ACCESS_KEY_ID", "default"),
        ("AWS_SECRET_ACCESS_KEY", KEY),
    ]);
    environment
}

/// Exceptions with their own class in the SDKs, and their status.
const ERRORS: [(&str, u64); 8] = [
    ("ValidationException", 400),
    ("AccessDeniedException", 403),
    ("ResourceNotFoundException", 404),
    ("ModelTimeoutException", 408),
    ("ModelErrorException", 424),
    ("ThrottlingException", 429),
    ("InternalServerException", 500),
    ("ServiceUnavailableException", 503),
];

#[tokio::test]
async fn boto3_converses_invokes_counts_and_raises_its_own_exceptions() {
    let (double, gateway) = rig().await;
    let names: Vec<&str> = ERRORS.iter().map(|(name, _)| *name).collect();
    let names = names.join(" ");
    let url = url(&gateway);
    let environment = signed(&url, &[("PROFILE", PROFILE), ("ERRORS", &names)]);
    let seen = python_client("aws/bedrock_runtime.py", &environment).await;
    for way in ["plain", "profile", "invoked"] {
        assert_eq!(seen[way], PROMPT, "{way}: {seen}");
    }
    assert_eq!(seen["streamed"]["text"], PROMPT);
    assert_eq!(seen["streamed"]["stop"], "end_turn");
    assert_eq!(seen["streamed"]["usage"], seen["usage"]);
    assert_eq!(seen["invoked_stream"]["text"], PROMPT);
    assert!(
        seen["invoked_stream"]["metrics"]["outputTokenCount"].as_u64() > Some(0),
        "{seen}"
    );
    assert!(seen["counted"].as_u64() > Some(0), "{seen}");
    for (name, status) in ERRORS {
        let error = &seen["errors"][name];
        assert_eq!(error["class"], name, "{seen}");
        assert_eq!(error["modelled"], true, "{seen}");
        assert_eq!(error["status"], status, "{seen}");
        assert_eq!(error["message"], "about it", "{seen}");
    }
    assert_eq!(seen["errors"]["empty"]["class"], "ValidationException");
    assert_eq!(seen["errors"]["middle"]["class"], seen["stream_error"]);
    assert_eq!(seen["errors"]["middle"]["code"], "throttlingException");

    let calls = double.calls_of("Converse");
    assert_eq!(
        seen["request_id"], calls[0].request_id,
        "AWS's own request id"
    );
    let sent = calls[0].json().unwrap();
    assert_eq!(sent["inferenceConfig"], json!({ "temperature": 0.5 }));
    assert!(
        calls[1]
            .path
            .contains("application-inference-profile%2Fabc123"),
        "{}",
        calls[1].path
    );
    let identity = calls[0].identity.as_ref().unwrap();
    assert_eq!(
        identity.access_key_id, "AKIAIOSFODNN7EXAMPLE",
        "signed by the gateway"
    );
}

#[tokio::test]
async fn boto3_without_bearer_tokens_signs_with_the_gateways_key() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    for (id, secret, expected) in [
        // The client's name and key: the signature authenticates the client.
        ("default", KEY, json!({ "text": PROMPT })),
        // The key as access key id, equivalent to a bearer token.
        (KEY, "whatever", json!({ "text": PROMPT })),
        (
            "default",
            "another key",
            Value::from("UnrecognizedClientException"),
        ),
        (
            "AKIAIOSFODNN7EXAMPLE",
            SECRET,
            Value::from("UnrecognizedClientException"),
        ),
    ] {
        let mut environment = bearer(
            &url,
            &[("AWS_ACCESS_KEY_ID", id), ("AWS_SECRET_ACCESS_KEY", secret)],
        );
        environment.retain(|(name, _)| *name != "AWS_BEARER_TOKEN_BEDROCK");
        let seen = python_client("aws/signed.py", &environment).await;
        let got = if expected.is_string() {
            &seen["code"]
        } else {
            &seen
        };
        assert_eq!(*got, expected, "{id}: {seen}");
    }
}

/// The environment of an app with a sidecar on the host network: the address of credentials instead of a key.
#[tokio::test]
async fn boto3_and_the_sdk_for_go_sign_with_what_the_gateway_hands_out() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    let credentials = format!("{url}{}", api::names::CLIENT_CREDENTIALS_PATH);
    let authorization = format!("Bearer {KEY}");
    let mut environment = bearer(
        &url,
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &credentials),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", &authorization),
        ],
    );
    environment.retain(|(name, _)| *name != "AWS_BEARER_TOKEN_BEDROCK");
    let seen = python_client("aws/signed.py", &environment).await;
    assert_eq!(seen, json!({ "text": PROMPT }));
    let seen = go_client(&environment).await;
    assert_eq!(seen["plain"], PROMPT);
}

#[tokio::test]
async fn langchain_aws_chats_streams_and_calls_tools() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    let seen = python_client("aws/langchain_converse.py", &signed(&url, &[])).await;
    assert_eq!(seen["plain"], PROMPT);
    assert_eq!(seen["streamed"], PROMPT);
    assert!(seen["usage"]["output_tokens"].as_u64() > Some(0), "{seen}");
    assert_eq!(seen["calls"], json!([["get_weather", { "city": "Paris" }]]));
}

/// This SDK speaks HTTP/2 and signs `:authority` in place of `host`.
#[tokio::test]
async fn aws_sdk_for_javascript_converses_invokes_and_throws_its_own_errors() {
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    let credentials = format!("{url}{}", api::names::CLIENT_CREDENTIALS_PATH);
    let authorization = format!("Bearer {KEY}");
    let mut handed_out = bearer(
        &url,
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &credentials),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", &authorization),
        ],
    );
    handed_out.retain(|(name, _)| *name != "AWS_BEARER_TOKEN_BEDROCK");
    let mut ways = vec![("key pair", signed(&url, &[]))];
    if lane::is_full() {
        ways.push(("bearer token", bearer(&url, &[])));
        ways.push(("credentials of the gateway", handed_out));
    }
    for (way, environment) in ways {
        let seen = node_client("aws_sdk.mjs", &environment).await;
        for text in ["plain", "invoked", "invokedStream"] {
            assert_eq!(seen[text], PROMPT, "{way} {text}: {seen}");
        }
        assert_eq!(seen["streamed"]["text"], PROMPT, "{way}");
        assert_eq!(seen["streamed"]["stop"], "end_turn", "{way}");
        let errors = &seen["errors"];
        assert_eq!(errors["throttled"]["name"], "ThrottlingException", "{seen}");
        assert_eq!(errors["throttled"]["status"], 429, "{way}");
        assert_eq!(errors["invalid"]["name"], "ValidationException", "{seen}");
        assert_eq!(errors["middle"]["name"], "ThrottlingException", "{seen}");
    }
}

#[tokio::test]
async fn aws_sdk_for_go_converses_streams_and_returns_its_own_errors() {
    let (_double, gateway) = rig().await;
    let url = url(&gateway);
    let seen = go_client(&signed(&url, &[])).await;
    assert_eq!(seen["plain"], PROMPT);
    assert_eq!(seen["streamed"], PROMPT);
    assert_eq!(seen["throttled"], true, "{seen}");
    assert_eq!(seen["middle"], true, "{seen}");
}
