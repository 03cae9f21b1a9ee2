//! Real clients of Anthropic's API against a real socket: `anthropic` for Python, `@anthropic-ai/sdk` for Node.
//! Each speaks to Claude in its own language, to Claude by Converse alone, and to another model.

use awsdouble::{Config, Double, allow_bedrock};
use serde_json::{Value, json};

use crate::support::{
    clients::{node_client, python_client},
    gateway::{Gateway, KEY},
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const MODELS: &str = "claude,claude-converse,nova";
const PROMPT: &str = "The quick brown fox – über 5 € 🦊";
const DOCUMENT: &str = "
models:
- {name: claude, targets: [{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'}]}
- {name: claude-converse, targets: [{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', surface: converse}]}
- {name: nova, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}
";

/// A gateway with its double; the folder holds the configuration.
async fn rig() -> (Double, Gateway, tempfile::TempDir) {
    let config =
        Config::default().with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("gateway.yaml");
    std::fs::write(&document, DOCUMENT).unwrap();
    let gateway = Gateway::start(
        &[
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE"),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &double.url()),
            ("AWS_ENDPOINT_URL_STS", &double.url()),
        ],
        Some(&document),
    )
    .await;
    gateway.ready().await;
    (double, gateway, folder)
}

fn environment(url: &str) -> [(&'static str, &str); 3] {
    [
        ("ANTHROPIC_BASE_URL", url),
        ("ANTHROPIC_API_KEY", KEY),
        ("MODELS", MODELS),
    ]
}

fn operations(double: &Double) -> Vec<String> {
    let mut operations: Vec<_> = double
        .calls()
        .into_iter()
        .filter(|call| call.service == "bedrock-runtime")
        .map(|call| call.operation)
        .collect();
    operations.sort();
    operations.dedup();
    operations
}

#[tokio::test]
async fn anthropic_package_streams_calls_tools_thinks_and_counts_on_each_way() {
    let (double, gateway, _folder) = rig().await;
    let url = gateway.url();
    let seen = python_client("anthropic/messages.py", &environment(&url)).await;
    for model in MODELS.split(',') {
        let seen = &seen[model];
        assert_eq!(seen["plain"]["text"], PROMPT, "{model}");
        assert_eq!(seen["plain"]["stop"], "end_turn");
        for same in ["text", "stop", "usage"] {
            assert_eq!(
                seen["streamed"][same], seen["plain"][same],
                "{model} {same}"
            );
        }
        let events = seen["streamed"]["events"].as_array().unwrap();
        assert_eq!(events.first().unwrap(), "message_start");
        assert_eq!(events.last().unwrap(), "message_stop");
        assert_eq!(
            seen["tools"]["inputs"],
            json!([{"city": "Ulm", "days": 3}, {"city": "Bonn"}]),
            "{model}"
        );
        assert_eq!(seen["tools"]["stop"], "tool_use");
        let answer = seen["tools"]["answer"].as_str().unwrap();
        assert!(
            answer.contains("sunny in Ulm") && answer.contains("sunny in Bonn"),
            "{answer}"
        );
    }
    for model in ["claude", "claude-converse"] {
        // The double would have refused a turn with a signed block that changed.
        let turns = seen[model]["thinking"].as_array().unwrap();
        assert_eq!(turns.len(), 6);
        assert!(
            turns.iter().all(|kinds| kinds[0] == "thinking"),
            "{turns:?}"
        );
        assert_eq!(turns[3][1], "redacted_thinking");
        assert!(seen[model]["count"].as_u64().unwrap() > 2);
    }
    assert_eq!(seen["models"], json!(["claude", "claude-converse", "nova"]));
    assert_eq!(seen["model"], "claude");
    assert_eq!(
        operations(&double),
        [
            "Converse",
            "ConverseStream",
            "CountTokens",
            "InvokeModel",
            "InvokeModelWithResponseStream"
        ]
    );
}

#[tokio::test]
async fn anthropic_package_raises_its_own_class_for_each_error() {
    let (_double, gateway, _folder) = rig().await;
    let url = gateway.url();
    let seen = python_client("anthropic/errors.py", &environment(&url)).await;
    let raised = |class: &str, status: u16, kind: &str| json!([class, status, kind, true]);
    for model in MODELS.split(',') {
        for (name, class, status, kind) in [
            (
                "ValidationException",
                "BadRequestError",
                400,
                "invalid_request_error",
            ),
            (
                "AccessDeniedException",
                "PermissionDeniedError",
                403,
                "permission_error",
            ),
            (
                "ResourceNotFoundException",
                "NotFoundError",
                404,
                "not_found_error",
            ),
            (
                "ThrottlingException",
                "RateLimitError",
                429,
                "rate_limit_error",
            ),
            (
                "ServiceUnavailableException",
                "OverloadedError",
                529,
                "overloaded_error",
            ),
            (
                "InternalServerException",
                "InternalServerError",
                500,
                "api_error",
            ),
        ] {
            assert_eq!(seen[model][name], raised(class, status, kind), "{model}");
        }
        assert_eq!(seen[model]["ModelTimeoutException"][1], 504);
        assert_eq!(seen[model]["midstream"], "rate_limit_error", "{model}");
        assert_eq!(seen[model]["cut"], "api_error", "{model}");
    }
    assert_eq!(
        seen["key"],
        raised("AuthenticationError", 401, "authentication_error")
    );
    assert_eq!(
        seen["model"],
        raised("NotFoundError", 404, "not_found_error")
    );
    assert_eq!(seen["bearer"], json!(["claude"]));
}

#[tokio::test]
async fn anthropic_package_for_node_streams_thinks_and_calls_tools_on_each_way() {
    let (_double, gateway, _folder) = rig().await;
    let url = gateway.url();
    let seen: Value = node_client("anthropic_messages.mjs", &environment(&url)).await;
    for model in MODELS.split(',') {
        let seen = &seen[model];
        for text in ["plain", "streamed", "final"] {
            assert_eq!(seen[text], PROMPT, "{model} {text}");
        }
        assert_eq!(seen["usage"][0], seen["usage"][1]);
        assert_eq!(seen["cities"], json!(["0", "1", "2"]), "{model}");
        assert_eq!(seen["error"], json!([true, 429, "rate_limit_error", true]));
    }
}
