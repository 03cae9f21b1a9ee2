//! Requests of Claude Code with CLAUDE_CODE_USE_BEDROCK and ANTHROPIC_BEDROCK_BASE_URL.
//!
//! They were recorded from the public npm package (2.1) with a made-up key. Paths, headers and the structure of the bodies
//! are kept; texts and tools are replaced.

use http::Method;
use serde_json::{Value, json};

use super::{KEY, rig, url};
use crate::support::http::request;

const MODEL: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn headers(bearer: &str) -> Vec<(&str, &str)> {
    vec![
        ("accept", "application/json"),
        ("authorization", bearer),
        ("content-type", "application/json"),
        ("user-agent", "claude-cli/2.1 (external, sdk-cli)"),
        (
            "x-claude-code-session-id",
            "5b330251-322f-4984-891a-e1908345e533",
        ),
        ("x-stainless-retry-count", "0"),
        ("anthropic-beta", "claude-code-20250219"),
        ("anthropic-dangerous-direct-browser-access", "true"),
        ("anthropic-version", "2023-06-01"),
        ("x-app", "cli"),
        ("accept-encoding", "gzip, deflate, br, zstd"),
    ]
}

fn turn() -> Value {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": { "prompt": { "description": "What to do", "type": "string" } },
        "required": ["prompt"],
        "additionalProperties": false,
    });
    let cached = json!({ "type": "ephemeral" });
    json!({
        "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "context" },
            { "type": "text", "text": "say hello", "cache_control": cached },
        ] }],
        "system": [
            { "type": "text", "text": "billing" },
            { "type": "text", "text": "You are a tool.", "cache_control": cached },
        ],
        "tools": [{ "name": "Agent", "description": "Starts an agent", "input_schema": schema }],
        "metadata": { "user_id": "{\"device_id\":\"0\",\"account_uuid\":\"\",\"session_id\":\"0\"}" },
        "max_tokens": 32000,
        "thinking": { "budget_tokens": 31999, "type": "enabled" },
        "anthropic_beta": ["interleaved-thinking-2025-05-14"],
        "anthropic_version": "bedrock-2023-05-31",
    })
}

#[tokio::test]
async fn requests_of_claude_code_reach_the_model_as_they_were_sent() {
    let (double, gateway) = rig().await;
    let bearer = format!("Bearer {KEY}");
    let probe = json!({
        "max_tokens": 1,
        "messages": [{ "role": "user", "content": "test" }],
        "anthropic_version": "bedrock-2023-05-31",
    });
    for (operation, body) in [("invoke", probe), ("invoke-with-response-stream", turn())] {
        // It does not encode the colon.
        let url = format!("{}/model/{MODEL}/{operation}", url(&gateway));
        let sent = body.to_string();
        let answer = request(Method::POST, &url, &headers(&bearer), sent.clone())
            .await
            .unwrap();
        assert_eq!(answer.status, 200, "{operation}: {}", answer.text());
        let calls = double.calls();
        let call = calls.last().unwrap();
        assert_eq!(call.body, sent, "{operation}");
        assert_eq!(
            call.path,
            format!("/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/{operation}")
        );
        assert!(
            !call.headers.contains_key("accept-encoding"),
            "frames must not be compressed"
        );
        assert!(!call.headers.contains_key("x-claude-code-session-id"));
        if operation != "invoke" {
            assert!(answer.text().contains(":event-type"), "an event stream");
        }
    }
}
