#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

use serde_json::{Value, json};

mod measured;

use super::super::reply::{reasoning_signature, redacted_reasoning};
use super::*;

const CLAUDE: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const CLAUDE_4_5: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
const CLAUDE_4_6: &str = "anthropic.claude-opus-4-6-v1";

/// Checks that the request is rejected with a message that contains `expected`, or accepted if `expected` is empty.
#[track_caller]
fn check(name: &str, model: &str, body: &Value, expected: &str) {
    let found = conversation(body, &Target::built_in(model), Origin::InvokeModel)
        .err()
        .map(|error| error.message);
    match found {
        None => assert_eq!("", expected, "{name}: accepted"),
        Some(message) => {
            assert!(!expected.is_empty(), "{name}: rejected: {message}");
            assert!(message.contains(expected), "{name}: {message}");
        }
    }
}

fn body() -> Value {
    json!({"anthropic_version": "bedrock-2023-05-31", "max_tokens": 2000,
        "messages": [{"role": "user", "content": "hi"}]})
}

/// A body with a top-level member replaced or added.
fn with(name: &str, value: Value) -> Value {
    let mut body = body();
    body[name] = value;
    body
}

/// A body with one user turn, followed by these turns.
fn turns(further: Value) -> Value {
    let mut messages = vec![json!({"role": "user", "content": "hi"})];
    messages.extend(further.as_array().cloned().unwrap_or_default());
    with("messages", json!(messages))
}

fn assistant(blocks: Value) -> Value {
    json!({"role": "assistant", "content": blocks})
}

fn user(blocks: Value) -> Value {
    json!({"role": "user", "content": blocks})
}

fn tool() -> Value {
    json!({"name": "get", "input_schema": {"type": "object"}})
}

fn call(id: &str) -> Value {
    json!({"type": "tool_use", "id": id, "name": "get", "input": {}})
}

fn result(id: &str) -> Value {
    json!({"type": "tool_result", "tool_use_id": id, "content": "ok"})
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn rejects_missing_unknown_and_out_of_range_fields() {
    let without = |name: &str| {
        let mut body = body();
        body.as_object_mut().expect("an object").remove(name);
        body
    };
    let rows = [
        ("plain", CLAUDE, body(), ""),
        (
            "version",
            CLAUDE,
            without("anthropic_version"),
            "anthropic_version: Field required",
        ),
        (
            "other version",
            CLAUDE,
            with("anthropic_version", json!("2020-01-01")),
            "anthropic_version: Input should be",
        ),
        (
            "limit",
            CLAUDE,
            without("max_tokens"),
            "max_tokens: Field required",
        ),
        (
            "messages",
            CLAUDE,
            without("messages"),
            "messages: Field required",
        ),
        (
            "model",
            CLAUDE,
            with("model", json!("claude")),
            "model: Extra inputs are not permitted",
        ),
        (
            "stream",
            CLAUDE,
            with("stream", json!(true)),
            "stream: Extra inputs are not permitted",
        ),
        (
            "tier",
            CLAUDE,
            with("service_tier", json!("auto")),
            "service_tier: Extra inputs are not permitted",
        ),
        (
            "effort, old",
            CLAUDE,
            with("output_config", json!({"effort": "low"})),
            "output_config: Extra inputs are not permitted",
        ),
        (
            "effort, new",
            CLAUDE_4_6,
            with("output_config", json!({"effort": "low"})),
            "",
        ),
        (
            "format, 4.5",
            CLAUDE_4_5,
            with(
                "output_config",
                json!({"format": {"type": "json_schema", "schema": {"type": "object", "additionalProperties": false}}}),
            ),
            "",
        ),
        (
            "old format",
            CLAUDE_4_5,
            with("output_format", json!({})),
            "output_format: Extra inputs are not permitted",
        ),
        (
            "context management without its flag",
            CLAUDE_4_5,
            with("context_management", json!({})),
            "context_management: Extra inputs",
        ),
        (
            "flag",
            CLAUDE_4_5,
            with("anthropic_beta", json!(["interleaved-thinking-2025-05-14"])),
            "",
        ),
        (
            "unknown flag",
            CLAUDE_4_5,
            with("anthropic_beta", json!(["mcp-servers-2025-12-04"])),
            "invalid beta flag",
        ),
        (
            "limit too high",
            CLAUDE,
            with("max_tokens", json!(1_000_000)),
            "which is the maximum allowed number of output tokens",
        ),
        (
            "high temperature",
            CLAUDE,
            with("temperature", json!(1.5)),
            "temperature: range: 0..1",
        ),
        (
            "blank system",
            CLAUDE,
            with("system", json!([{"type": "text", "text": ""}])),
            "system: text content blocks must be non-empty",
        ),
        (
            "metadata",
            CLAUDE,
            with("metadata", json!({"user_id": "u", "team": "t"})),
            "metadata.team: Extra inputs",
        ),
        (
            "blank stop",
            CLAUDE,
            with("stop_sequences", json!([" "])),
            "each stop sequence must contain non-whitespace",
        ),
        (
            "scope of a cache",
            CLAUDE,
            with(
                "system",
                json!([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "scope": "global"}}]),
            ),
            "system.0.cache_control.ephemeral.scope: Extra inputs are not permitted",
        ),
    ];
    for (name, model, body, expected) in rows {
        check(name, model, &body, expected);
    }
}

#[test]
fn validates_conversations_like_claude() {
    let rows = [
        (
            "system role",
            turns(json!([{"role": "system", "content": "x"}])),
            "Unexpected role \"system\"",
        ),
        ("two users", turns(json!([user(json!("again"))])), ""),
        (
            "field of a message",
            with(
                "messages",
                json!([{"role": "user", "content": "hi", "name": "x"}]),
            ),
            "messages.0.name: Extra inputs",
        ),
        (
            "blank",
            turns(json!([
                assistant(json!("ok")),
                user(json!([{"type": "text", "text": ""}]))
            ])),
            "text content blocks must be non-empty",
        ),
        (
            "spaces",
            turns(json!([assistant(json!("ok")), user(json!("  "))])),
            "must contain non-whitespace text",
        ),
        (
            "trailing space",
            turns(json!([assistant(json!("ok "))])),
            "cannot end with trailing whitespace",
        ),
        (
            "empty turn",
            turns(json!([assistant(json!([])), user(json!("x"))])),
            "messages.1: all messages must have non-empty content",
        ),
        (
            "image by URL",
            with(
                "messages",
                json!([user(
                    json!([{"type": "image", "source": {"type": "url", "url": "https://x"}}])
                )]),
            ),
            "image.source.type: Input should be 'base64'",
        ),
        (
            "image",
            with(
                "messages",
                json!([user(
                    json!([{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}])
                )]),
            ),
            "",
        ),
        (
            "unknown block",
            with(
                "messages",
                json!([user(json!([{"type": "container_upload"}]))]),
            ),
            "Input tag 'container_upload'",
        ),
        (
            "block of the other role",
            with("messages", json!([user(json!([call("a")]))])),
            "not permitted in user messages",
        ),
    ];
    for (name, body, expected) in rows {
        check(name, CLAUDE, &body, expected);
    }
    let prefill = turns(json!([assistant(json!("{"))]));
    check("prefill", CLAUDE, &prefill, "");
    check(
        "prefill, 4.6",
        CLAUDE_4_6,
        &prefill,
        "does not support assistant message prefill",
    );
}

#[test]
fn rejects_tool_calls_and_results_that_do_not_match() {
    let with_tools = |further: Value| {
        let mut body = turns(further);
        body["tools"] = json!([tool()]);
        body
    };
    let rows = [
        (
            "pair",
            with_tools(json!([
                assistant(json!([call("a")])),
                user(json!([result("a")]))
            ])),
            "",
        ),
        (
            "no result",
            with_tools(json!([assistant(json!([call("a")])), user(json!("x"))])),
            "messages.1: `tool_use` ids were found without `tool_result` blocks immediately after: a",
        ),
        (
            "text first",
            with_tools(json!([
                assistant(json!([call("a")])),
                user(json!([{"type": "text", "text": "x"}, result("a")]))
            ])),
            "`tool_use` ids were found without",
        ),
        (
            "text after",
            with_tools(json!([
                assistant(json!([call("a")])),
                user(json!([result("a"), {"type": "text", "text": "x"}]))
            ])),
            "",
        ),
        (
            "orphan",
            with_tools(json!([assistant(json!("x")), user(json!([result("b")]))])),
            "messages.2.content.0: unexpected `tool_use_id` found in `tool_result` blocks: b",
        ),
        (
            "twice",
            with_tools(json!([
                assistant(json!([call("a"), call("a")])),
                user(json!([result("a")]))
            ])),
            "`tool_use` ids must be unique",
        ),
        (
            "last call open",
            with_tools(json!([assistant(json!([call("a")]))])),
            "without `tool_result`",
        ),
        (
            "id of Converse's charset only",
            with_tools(json!([
                assistant(json!([call("a.b:c")])),
                user(json!([result("a.b:c")]))
            ])),
            "should match pattern",
        ),
        (
            "field of a tool",
            with(
                "tools",
                json!([{"name": "get", "input_schema": {"type": "object"}, "eager_input_streaming": true}]),
            ),
            "tools.0.custom.eager_input_streaming: Extra inputs are not permitted",
        ),
        (
            "server tool",
            with(
                "tools",
                json!([{"type": "web_search_20250305", "name": "web_search"}]),
            ),
            "Input tag 'web_search_20250305'",
        ),
        (
            "tool defined by Anthropic",
            with("tools", json!([{"type": "bash_20250124", "name": "bash"}])),
            "",
        ),
        (
            "choice without tools",
            with("tool_choice", json!({"type": "auto"})),
            "may only be specified while providing tools",
        ),
    ];
    for (name, body, expected) in rows {
        check(name, CLAUDE_4_6, &body, expected);
    }
}

#[test]
fn accepts_thinking_only_if_it_is_unchanged() {
    let thinking = |text: &str, sign: &str| {
        turns(json!([
            assistant(
                json!([{"type": "thinking", "thinking": text, "signature": sign}, {"type": "text", "text": "a"}])
            ),
            user(json!("more"))
        ]))
    };
    let sign = reasoning_signature("because");
    let rows = [
        ("unchanged", thinking("because", &sign), ""),
        (
            "one byte more",
            thinking("because ", &sign),
            "messages.1.content.0: Invalid `signature` in `thinking` block",
        ),
        (
            "other signature",
            thinking("because", "Zm9v"),
            "Invalid `signature`",
        ),
        ("signature only", thinking("", &reasoning_signature("")), ""),
        (
            "no signature",
            turns(json!([
                assistant(json!([{"type": "thinking", "thinking": "x"}])),
                user(json!("more"))
            ])),
            "messages.1.content.0.thinking.signature: Field required",
        ),
        (
            "redacted",
            turns(json!([
                assistant(
                    json!([{"type": "redacted_thinking", "data": redacted_reasoning()}, {"type": "text", "text": "a"}])
                ),
                user(json!("more"))
            ])),
            "",
        ),
        (
            "redacted, changed",
            turns(json!([
                assistant(
                    json!([{"type": "redacted_thinking", "data": "eA=="}, {"type": "text", "text": "a"}])
                ),
                user(json!("more"))
            ])),
            "Invalid `data` in `redacted_thinking` block",
        ),
        (
            "at the end",
            turns(json!([
                assistant(json!([{"type": "thinking", "thinking": "because", "signature": sign}])),
                user(json!("more"))
            ])),
            "messages.1: The final block in an assistant message cannot be `thinking`.",
        ),
        (
            "small budget",
            with("thinking", json!({"type": "enabled", "budget_tokens": 10})),
            "thinking.enabled.budget_tokens: Input should be greater",
        ),
    ];
    for (name, body, expected) in rows {
        check(name, CLAUDE_4_5, &body, expected);
    }
}
