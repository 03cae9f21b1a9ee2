//! Generated requests for every model family; `PROPTEST_CASES` sets their number.

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestRunner},
};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::{Outcome, double, gateway, outcome};
use crate::support::{gateway::KEY, http};

const PNG: &str = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==";

const MODELS: [&str; 21] = [
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-3-7-sonnet-20250219-v1:0",
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-sonnet-4-6",
    "us.anthropic.claude-opus-4-7",
    "global.anthropic.claude-fable-5",
    "us.amazon.nova-micro-v1:0",
    "us.amazon.nova-lite-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "us.meta.llama4-maverick-17b-instruct-v1:0",
    "mistral.mistral-7b-instruct-v0:2",
    "mistral.mistral-large-2407-v1:0",
    "us.mistral.pixtral-large-2502-v1:0",
    "cohere.command-r-v1:0",
    "us.deepseek.r1-v1:0",
    "openai.gpt-oss-120b-1:0",
    "qwen.qwen3-32b-v1:0",
    "moonshotai.kimi-k2.5",
    "zai.glm-4.7",
    "us.writer.palmyra-x5-v1:0",
];

fn one_of(values: &'static [&'static str]) -> impl Strategy<Value = String> + Clone {
    prop::sample::select(values).prop_map(str::to_owned)
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        1 => one_of(&["", " \n", "ends with a space "]),
        4 => "[a-zA-Zäß世🦊 .,!?\\n]{1,20}",
    ]
}

fn any_user_content() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        4 => any_text().prop_map(|text| json!({"type": "text", "text": text})),
        1 => any_text().prop_map(|text| json!({"type": "text", "text": text,
            "cache_control": {"type": "ephemeral"}})),
        1 => Just(json!({"type": "image_url", "image_url": {"url": PNG}})),
        1 => one_of(&["notes.txt", "a  b!.pdf", ""]).prop_map(|name| json!({"type": "file",
            "file": {"filename": name, "file_data": "data:text/plain;base64,aGVsbG8="}})),
    ];
    prop_oneof![
        3 => any_text().prop_map(Value::from),
        2 => prop::collection::vec(part, 1..4).prop_map(Value::from),
    ]
}

/// Turns in any order, with calls and results that fit or do not.
fn any_message() -> impl Strategy<Value = Value> {
    let id = one_of(&["a", "b", "call 1", "functions.f:0"]);
    let name = one_of(&["f", "mcp.read", "mcp_read", "ü"]);
    let arguments = one_of(&["{}", "{\"b\":1,\"a\":2}", "", "[1]", "{broken"]);
    let call = (id.clone(), name, arguments).prop_map(|(id, name, arguments)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    });
    let result = prop_oneof![
        any_text().prop_map(Value::from),
        Just(json!("{\"k\": 1}")),
        Just(json!("[1, 2]")),
        Just(json!([{"type": "image_url", "image_url": {"url": PNG}}])),
    ];
    prop_oneof![
        1 => (one_of(&["system", "developer"]), any_text())
            .prop_map(|(role, text)| json!({"role": role, "content": text})),
        4 => any_user_content().prop_map(|content| json!({"role": "user", "content": content})),
        2 => any_text().prop_map(|text| json!({"role": "assistant", "content": text})),
        2 => (any_text(), prop::collection::vec(call, 1..3)).prop_map(|(text, calls)| {
            json!({"role": "assistant", "content": text, "tool_calls": calls})
        }),
        3 => (id, result).prop_map(|(id, content)| {
            json!({"role": "tool", "tool_call_id": id, "content": content})
        }),
    ]
}

fn any_tools() -> impl Strategy<Value = Value> {
    let schema = prop_oneof![
        Just(
            json!({"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "integer"}}})
        ),
        Just(json!({"properties": {}, "$schema": "https://json-schema.org/draft/2020-12/schema"})),
        Just(json!({})),
    ];
    let tool = (
        one_of(&["f", "mcp.read", "mcp_read", "ü", "get weather"]),
        one_of(&["", "reads"]),
        schema,
        any::<bool>(),
    )
        .prop_map(|(name, description, parameters, strict)| {
            json!({"type": "function", "function": {"name": name, "description": description,
                "parameters": parameters, "strict": strict}})
        });
    prop::collection::vec(tool, 0..3).prop_map(Value::from)
}

fn any_choice() -> impl Strategy<Value = Value> {
    prop_oneof![
        one_of(&["auto", "none", "required", "any"]).prop_map(Value::from),
        Just(json!({"type": "function", "function": {"name": "f"}})),
    ]
}

fn any_format() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"type": "text"})),
        Just(json!({"type": "json_object"})),
        Just(
            json!({"type": "json_schema", "json_schema": {"name": "answer", "schema": {
            "type": "object", "properties": {"n": {"type": "integer"}}}}})
        ),
        Just(
            json!({"type": "json_schema", "json_schema": {"name": "answer", "strict": true, "schema": {
            "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"],
            "additionalProperties": false}}})
        ),
    ]
}

/// Each field is there or not.
fn any_fields() -> impl Strategy<Value = Map<String, Value>> {
    let number = |range: std::ops::Range<i32>| range.prop_map(|n| json!(f64::from(n) / 10.0));
    let fields = prop_oneof![
        any_tools().prop_map(|value| ("tools", value)),
        any_choice().prop_map(|value| ("tool_choice", value)),
        any::<bool>().prop_map(|value| ("parallel_tool_calls", json!(value))),
        any_format().prop_map(|value| ("response_format", value)),
        number(0..21).prop_map(|value| ("temperature", value)),
        number(0..11).prop_map(|value| ("top_p", value)),
        (1..100).prop_map(|value| ("top_k", json!(value))),
        (1..4000).prop_map(|value| ("max_tokens", json!(value))),
        (1..4000).prop_map(|value| ("max_completion_tokens", json!(value))),
        prop::collection::vec(one_of(&["", " ", "\n", "END", "###"]), 0..6)
            .prop_map(|value| ("stop", json!(value))),
        one_of(&["none", "minimal", "low", "medium", "high", "xhigh"])
            .prop_map(|value| ("reasoning_effort", json!(value))),
        (0..9000).prop_map(|budget| (
            "thinking",
            json!({"type": "enabled", "budget_tokens": budget})
        )),
        Just(("thinking", json!({"type": "adaptive"}))),
        any::<bool>().prop_map(|value| ("stream", json!(value))),
        any_text().prop_map(|value| ("user", json!(value))),
        any_text().prop_map(|value| ("metadata", json!({"team": value}))),
        one_of(&["auto", "default", "flex", "priority"])
            .prop_map(|value| ("service_tier", json!(value))),
        (0..3).prop_map(|value| ("n", json!(value))),
        Just(("seed", json!(7))),
        Just(("cache_control", json!({"type": "ephemeral"}))),
    ];
    prop::collection::vec(fields, 0..6).prop_map(|fields| {
        let fields = fields.into_iter();
        fields
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    })
}

fn any_request() -> impl Strategy<Value = Value> {
    (
        prop::sample::select(&MODELS[..]),
        prop::collection::vec(any_message(), 1..8),
        any_fields(),
    )
        .prop_map(|(model, messages, mut fields)| {
            fields.insert("model".to_owned(), json!(model));
            fields.insert("messages".to_owned(), json!(messages));
            Value::Object(fields)
        })
}

#[test]
#[expect(clippy::print_stderr, reason = "what a long run was about")]
fn generated_request_passes_bedrocks_validation_or_was_refused_with_a_400() {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let (double, gateway) = runtime.block_on(async {
        let double = double().await;
        let gateway = gateway(&double, &json!({}), directory.path()).await;
        (double, gateway)
    });
    let url = format!("{}/chat/completions", gateway.openai_url());
    let counts = std::cell::Cell::new((0_u32, 0_u32));
    let mut runner = TestRunner::new(Config {
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&any_request(), |request| {
        double.clear_calls();
        let answer = runtime
            .block_on(http::post(&url, KEY, &request))
            .map_err(TestCaseError::fail)?;
        let (served, refused) = counts.get();
        match outcome(&double, &answer).map_err(TestCaseError::fail)? {
            Outcome::Served => counts.set((served + 1, refused)),
            Outcome::Refused => counts.set((served, refused + 1)),
        }
        Ok(())
    });
    let (served, refused) = counts.get();
    eprintln!("{served} served, {refused} refused by the gateway");
    assert!(result.is_ok(), "{}", result.unwrap_err());
    // Most of what is generated makes sense.
    assert!(served > refused, "{served} served, {refused} refused");
    drop(gateway);
}
