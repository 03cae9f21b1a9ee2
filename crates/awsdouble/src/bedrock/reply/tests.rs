#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

use super::*;

#[track_caller]
fn check(name: &str, request: &Value, blocks: Value, stop_reason: &str) {
    let script = Script::parse(&super::super::prompt::last_user_text(request)).expect(name);
    let reply = compose("m", request, &script);
    let written: Vec<Value> = reply.blocks.iter().map(Block::json).collect();
    assert_eq!(Value::Array(written), blocks, "{name}");
    assert_eq!(reply.stop_reason, stop_reason, "{name}");
}

fn user(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

#[test]
fn replies_with_the_last_user_text() {
    check(
        "echo",
        &user("Hello, world"),
        json!([{"text": "Hello, world"}]),
        "end_turn",
    );
    let turns = json!({"messages": [
        {"role": "user", "content": [{"text": "one"}]}, {"role": "assistant", "content": [{"text": "two"}]},
        {"role": "user", "content": [{"text": "three"}, {"text": "four"}]}]});
    check(
        "the last of several turns",
        &turns,
        json!([{"text": "three\nfour"}]),
        "end_turn",
    );
}

#[test]
fn applies_token_limits_and_stop_sequences() {
    let mut request = user("hello world");
    request["inferenceConfig"] = json!({"maxTokens": 2});
    check(
        "two tokens",
        &request,
        json!([{"text": "hello wo"}]),
        "max_tokens",
    );
    request["inferenceConfig"] = json!({"maxTokens": 3});
    check(
        "just enough",
        &request,
        json!([{"text": "hello world"}]),
        "end_turn",
    );
    request["inferenceConfig"] = json!({"stopSequences": ["rld", "o w"]});
    check(
        "the earliest stop sequence",
        &request,
        json!([{"text": "hell"}]),
        "stop_sequence",
    );
}

#[test]
fn a_required_tool_call_has_an_input_that_matches_its_schema() {
    let mut request = user("hi");
    request["toolConfig"] = json!({"toolChoice": {"tool": {"name": "b"}}, "tools": [
        {"toolSpec": {"name": "a", "inputSchema": {"json": {"type": "object"}}}},
        {"toolSpec": {"name": "b", "inputSchema": {"json": {"type": "object", "required": ["n", "u"], "properties": {
            "n": {"type": "integer"}, "u": {"enum": ["C", "F"]}, "o": {"type": "string"}}}}}}]});
    let mut claude = request.clone();
    claude["toolConfig"]
        .as_object_mut()
        .unwrap()
        .remove("toolChoice");
    claude["additionalModelRequestFields"] = json!({"tool_choice": {"type": "tool", "name": "b"}});
    let script = Script::parse("hi").expect("a script");
    assert_eq!(
        compose("m", &claude, &script).blocks.len(),
        compose("m", &request, &script).blocks.len()
    );
    let reply = compose("m", &request, &script);
    let Some(Block::ToolUse { name, input, id }) = reply.blocks.last() else {
        panic!("{reply:?}")
    };
    assert_eq!(
        (name.as_str(), input.as_str(), id.len()),
        ("b", r#"{"n":1,"u":"C"}"#, 30)
    );
    assert_eq!(reply.stop_reason, "tool_use");
}

#[test]
fn a_structured_output_matches_its_schema() {
    let mut request = user("give me a person");
    let schema = r##"{"type":"object","properties":{"name":{"type":"string"},"tags":{"type":"array","items":{"$ref":"#/$defs/t"}}},"$defs":{"t":{"const":7}}}"##;
    request["outputConfig"] = json!({"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"schema": schema, "name": "person"}}}});
    check(
        "structured",
        &request,
        json!([{"text": r#"{"name":"text","tags":[7]}"#}]),
        "end_turn",
    );
}

#[test]
fn reasoning_comes_first_and_is_signed() {
    let signature = reasoning_signature("why not");
    check(
        "signed",
        &user("@reason why not\nso"),
        json!([{"reasoningContent": {"reasoningText": {"signature": signature, "text": "why not"}}}, {"text": "so"}]),
        "end_turn",
    );
}

#[test]
fn structured_output_follows_the_schema_in_both_places() {
    let schema =
        json!({"type": "object", "properties": {"n": {"type": "number"}}, "required": ["n"]});
    let mut request = user("A number.");
    request["outputConfig"] = json!({"textFormat": {"type": "json_schema",
        "structure": {"jsonSchema": {"schema": schema.to_string()}}}});
    check(
        "Converse",
        &request,
        json!([{"text": "{\"n\":1.5}"}]),
        "end_turn",
    );
    let mut request = user("A number.");
    request["additionalModelRequestFields"] =
        json!({"output_config": {"format": {"type": "json_schema", "schema": schema}}});
    check(
        "Claude",
        &request,
        json!([{"text": "{\"n\":1.5}"}]),
        "end_turn",
    );
}
