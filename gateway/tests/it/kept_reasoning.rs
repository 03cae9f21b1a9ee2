//! Signed reasoning of clients that replay only `reasoning_content`, as several agents do over Chat Completions.

use http::Method;
use serde_json::{Value, json};

use crate::rig::{Rig, signed_blocks};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";
const OTHER_CLAUDE: &str = "us.anthropic.claude-opus-4-5-20251101-v1:0";

/// One step of a conversation with a tool.
struct Step<'s> {
    model: &'s str,
    key: &'s str,
    messages: &'s [Value],
    stream: bool,
}

/// Sends a request and returns the text of the response, and the signed blocks that Bedrock received.
async fn send(rig: &Rig, step: &Step<'_>) -> (String, Vec<Value>, bool) {
    let tools = json!([{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}]);
    let body = json!({"model": step.model, "messages": step.messages, "tools": tools,
        "reasoning_effort": "low", "stream": step.stream});
    let authorization = format!("Bearer sk-{}", step.key);
    let headers = [("authorization", authorization.as_str())];
    let path = "/v1/chat/completions";
    let response = rig.call(Method::POST, path, &headers, body.to_string());
    let response = response.await;
    assert_eq!(response.status, 200, "{}", response.text());
    let is_warned = response.headers.contains_key("x-bedrock-gateway-warning");
    let sent = rig.calls().pop().unwrap();
    let mut blocks = signed_blocks(&sent);
    blocks.retain(|block| !block.is_null());
    (response.text(), blocks, is_warned)
}

/// The first answer, and the conversation as such a client continues it.
async fn conversation(rig: &Rig, stream: bool) -> Vec<Value> {
    let mut messages =
        vec![json!({"role": "user", "content": "@reason A \"thought\" \u{2028}.\n@tool look {}"})];
    let step = Step {
        model: CLAUDE,
        key: "one",
        messages: &messages,
        stream,
    };
    let (text, _, _) = send(rig, &step).await;
    let (_, id) = text.split_once(r#""tool_calls":[{"#).unwrap();
    let (_, id) = id.split_once(r#""id":""#).unwrap();
    let (id, _) = id.split_once('"').unwrap();
    let call =
        json!({"id": id, "type": "function", "function": {"name": "look", "arguments": "{}"}});
    messages.extend([
        json!({"role": "assistant", "content": null, "reasoning_content": "A \"thought\" \u{2028}.",
            "tool_calls": [call]}),
        json!({"role": "tool", "tool_call_id": id, "content": "seen"}),
    ]);
    messages
}

/// A rig with two clients.
async fn rig(settings: &str) -> (Rig, tempfile::TempDir) {
    let keys = tempfile::tempdir().unwrap();
    for key in ["one", "two"] {
        std::fs::write(keys.path().join(key), format!("sk-{key}")).unwrap();
    }
    let document = format!(
        "clients: {{apiKeysDirectory: '{}'}}\nallow: ['*']\n{settings}",
        keys.path().display()
    );
    (Rig::with_document(&document).await, keys)
}

#[tokio::test]
async fn signed_reasoning_is_added_for_the_same_client_and_model_alone() {
    let (rig, _keys) = rig("").await;
    for stream in [false, true] {
        let messages = conversation(&rig, stream).await;
        let step = Step {
            model: CLAUDE,
            key: "one",
            messages: &messages,
            stream,
        };
        // The double rejects a block whose signature does not match its text.
        let (_, blocks, is_warned) = send(&rig, &step).await;
        assert_eq!(blocks.len(), 1, "stream: {stream}");
        assert_eq!(blocks[0]["text"], "A \"thought\" \u{2028}.");
        assert!(!is_warned);
        for other in [
            Step { key: "two", ..step },
            Step {
                model: OTHER_CLAUDE,
                ..step
            },
        ] {
            let (_, blocks, is_warned) = send(&rig, &other).await;
            assert!(blocks.is_empty() && is_warned, "{}", other.key);
        }
    }
}

#[tokio::test]
async fn signed_reasoning_is_not_kept_when_turned_off() {
    let (rig, _keys) = rig("keepReasoning: false").await;
    let messages = conversation(&rig, false).await;
    let step = Step {
        model: CLAUDE,
        key: "one",
        messages: &messages,
        stream: false,
    };
    let (_, blocks, is_warned) = send(&rig, &step).await;
    assert!(blocks.is_empty() && is_warned);
}
