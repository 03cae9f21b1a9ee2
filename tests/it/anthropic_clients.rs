//! Real clients of Anthropic's API against a real socket: `anthropic` for Python, `@anthropic-ai/sdk` for Node,
//! LangChain, and requests of Claude Code. Each calls Claude by passthrough, Claude by Converse, and another model.

use awsdouble::{Config, Double, allow_bedrock};
use http::Method;
use serde_json::{Value, json};

use crate::support::{
    clients::{node_client, python_client},
    gateway::{Gateway, KEY},
    http::request,
    lane,
};

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const MODELS: &str = "claude,claude-converse,nova";
const PROMPT: &str = "The quick brown fox – über 5 € 🦊";
const DOCUMENT: &str = "
models:
- {name: claude, targets: [{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0'}]}
- {name: claude-converse, targets: [{modelId: 'us.anthropic.claude-sonnet-4-5-20250929-v1:0', api: Converse}]}
- {name: nova, targets: [{modelId: 'amazon.nova-lite-v1:0'}]}
";

/// A gateway with its double; the directory contains the configuration.
async fn rig() -> (Double, Gateway, tempfile::TempDir) {
    let config =
        Config::default().with_user("app", "AKIAIOSFODNN7EXAMPLE", SECRET, allow_bedrock());
    let double = Double::start(config).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let document = directory.path().join("gateway.yaml");
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
    (double, gateway, directory)
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
    let (double, gateway, _directory) = rig().await;
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
        // The double rejects a turn with a changed signed block.
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
    let (_double, gateway, _directory) = rig().await;
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
        assert_eq!(seen[model]["cut"], "overloaded_error", "{model}");
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
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway, _directory) = rig().await;
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

/// The runners of both packages send only new messages, until an error code tells them to send the conversation.
#[track_caller]
fn runs_tools_to_the_end(double: &Double, seen: &Value) {
    for model in MODELS.split(',') {
        for way in ["plain", "streamed"] {
            let seen = &seen[model][way];
            assert_eq!(seen["asked"], json!(["Paris", "Ulm"]), "{model} {way}");
            let answer = seen["answer"].as_str().unwrap();
            assert!(answer.contains("sunny in Paris"), "{model} {way}: {answer}");
            assert!(answer.contains("sunny in Ulm"), "{model} {way}: {answer}");
        }
    }
    let calls = double.calls();
    let lengths = calls
        .iter()
        .filter(|call| call.model.is_some())
        .map(|call| {
            let body = call.json().unwrap();
            body["messages"].as_array().unwrap().len()
        });
    let expected = [1, 3].repeat(2 * MODELS.split(',').count());
    assert_eq!(lengths.collect::<Vec<_>>(), expected, "nothing is left out");
    double.clear_calls();
}

#[tokio::test]
async fn tool_runners_of_both_packages_send_the_whole_conversation() {
    let (double, gateway, _directory) = rig().await;
    let url = gateway.url();
    let seen = python_client("anthropic/tool_runner.py", &environment(&url)).await;
    runs_tools_to_the_end(&double, &seen);
    let seen = node_client("tool_runner.mjs", &environment(&url)).await;
    runs_tools_to_the_end(&double, &seen);
}

#[tokio::test]
async fn langchain_chats_streams_and_calls_tools_on_each_way() {
    if lane::is_left_to_full() {
        return;
    }
    let (_double, gateway, _directory) = rig().await;
    let url = gateway.url();
    let mut environment = environment(&url).to_vec();
    environment.push(("PROMPT", PROMPT));
    let seen = python_client("anthropic/langchain_anthropic_chat.py", &environment).await;
    for model in MODELS.split(',') {
        let seen = &seen[model];
        assert_eq!(seen["plain"], PROMPT, "{model}");
        assert_eq!(seen["streamed"], PROMPT, "{model}");
        assert!(seen["usage"].as_u64() > Some(0), "{model}");
        assert_eq!(seen["calls"], json!([["GetWeather", {"city": "Paris"}]]));
        assert!(seen["after"].as_str().unwrap().contains("sunny"), "{seen}");
        assert_eq!(seen["structured"], "GetWeather", "{model}");
    }
}

/// A request of Claude Code with ANTHROPIC_BASE_URL, recorded from the public npm package (2.1) with a made-up key. Its
/// structure is kept; its texts and tools are replaced.
fn claude_code(model: &str) -> Value {
    let cached = json!({"type": "ephemeral"});
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {"prompt": {"description": "What to do", "type": "string"}},
        "required": ["prompt"],
        "additionalProperties": false,
    });
    json!({
        "model": model,
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "context"},
                {"type": "text", "text": "say hello", "cache_control": cached},
            ]},
        ],
        "system": [
            {"type": "text", "text": "billing"},
            {"type": "text", "text": "You are a tool.", "cache_control": cached},
        ],
        "tools": [{"name": "Agent", "description": "Starts an agent", "input_schema": schema,
            "eager_input_streaming": true}],
        "metadata": {"user_id": "{\"device_id\":\"0\",\"account_uuid\":\"\",\"session_id\":\"0\"}"},
        "max_tokens": 32000,
        "thinking": {"budget_tokens": 31999, "type": "enabled"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        "stream": true,
    })
}

/// The text of a stream.
fn said(events: &str) -> String {
    let data = events
        .lines()
        .filter_map(|line| line.strip_prefix("data: "));
    let deltas = data.filter_map(|data| {
        let event: Value = serde_json::from_str(data).unwrap();
        Some(event["delta"]["text"].as_str()?.to_owned())
    });
    deltas.collect()
}

#[tokio::test]
async fn requests_of_claude_code_are_answered_in_its_protocol_on_each_way() {
    let (double, gateway, _directory) = rig().await;
    let headers = [
        ("accept", "application/json"),
        ("x-api-key", KEY),
        ("content-type", "application/json"),
        ("user-agent", "claude-cli/2.1 (external, sdk-cli)"),
        ("anthropic-version", "2023-06-01"),
        (
            "anthropic-beta",
            "claude-code-20250219,interleaved-thinking-2025-05-14,context-management-2025-06-27",
        ),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("x-app", "cli"),
    ];
    for (model, operation) in [
        ("claude", "InvokeModelWithResponseStream"),
        ("claude-converse", "ConverseStream"),
        ("nova", "ConverseStream"),
    ] {
        double.clear_calls();
        let url = format!("{}/v1/messages?beta=true", gateway.url());
        let mut body = claude_code(model);
        let first = request(Method::POST, &url, &headers, body.to_string())
            .await
            .unwrap();
        let text = first.text();
        assert_eq!(first.status, 200, "{model}: {text}");
        assert!(
            text.starts_with("event: message_start\n"),
            "{model}: {text}"
        );
        assert!(
            text.trim_end().ends_with("{\"type\":\"message_stop\"}"),
            "{model}: {text}"
        );
        // The next turn: its call and the result go back.
        body["messages"][0]["content"][1]["text"] = json!("@tool Agent {\"prompt\":\"look\"}");
        let turns = body["messages"].as_array_mut().unwrap();
        turns.push(json!({"role": "assistant", "content": [
            {"type": "tool_use", "id": "toolu_01", "name": "Agent", "input": {"prompt": "look"}},
        ]}));
        turns.push(json!({"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "toolu_01", "content": "seen", "is_error": false,
             "cache_control": {"type": "ephemeral"}},
        ]}));
        body["thinking"] = json!({"type": "disabled"});
        let second = request(Method::POST, &url, &headers, body.to_string())
            .await
            .unwrap();
        assert_eq!(second.status, 200, "{model}: {}", second.text());
        assert!(
            said(&second.text()).contains("seen"),
            "{model}: {}",
            second.text()
        );
        let calls = double.calls();
        let asked: Vec<&str> = calls.iter().map(|call| call.operation.as_str()).collect();
        assert_eq!(asked, [operation, operation], "{model}");
        if model == "claude-converse" {
            let sent = calls[0].json().unwrap();
            assert_eq!(sent["toolConfig"]["tools"].as_array().unwrap().len(), 1);
            assert!(
                sent["messages"][0]["content"]
                    .to_string()
                    .contains("cachePoint")
            );
            let thinking = &sent["additionalModelRequestFields"]["thinking"];
            assert_eq!(thinking["budget_tokens"], 31999, "{sent}");
        }
    }
}
