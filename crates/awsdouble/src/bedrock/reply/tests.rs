#![expect(clippy::needless_pass_by_value, reason = "rows are written in place")]

use super::*;

#[track_caller]
fn check(name: &str, request: &Value, blocks: Value, stop_reason: &str) {
    let script = Script::parse(&super::super::prompt::last_user_text(request)).expect(name);
    let answer = answer("m", request, &script);
    let written: Vec<Value> = answer.blocks.iter().map(Block::json).collect();
    assert_eq!(Value::Array(written), blocks, "{name}");
    assert_eq!(answer.stop_reason, stop_reason, "{name}");
}

fn user(text: &str) -> Value {
    json!({"messages": [{"role": "user", "content": [{"text": text}]}]})
}

#[test]
fn the_last_user_text_comes_back() {
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
fn limits_are_honoured_truthfully() {
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
fn a_forced_tool_gets_an_input_that_fits_its_schema() {
    let mut request = user("hi");
    request["toolConfig"] = json!({"toolChoice": {"tool": {"name": "b"}}, "tools": [
        {"toolSpec": {"name": "a", "inputSchema": {"json": {"type": "object"}}}},
        {"toolSpec": {"name": "b", "inputSchema": {"json": {"type": "object", "required": ["n", "u"], "properties": {
            "n": {"type": "integer"}, "u": {"enum": ["C", "F"]}, "o": {"type": "string"}}}}}}]});
    let mut of_claude = request.clone();
    of_claude["toolConfig"]
        .as_object_mut()
        .unwrap()
        .remove("toolChoice");
    of_claude["additionalModelRequestFields"] =
        json!({"tool_choice": {"type": "tool", "name": "b"}});
    let script = Script::parse("hi").expect("a script");
    assert_eq!(
        answer("m", &of_claude, &script).blocks.len(),
        answer("m", &request, &script).blocks.len()
    );
    let answer = answer("m", &request, &script);
    let Some(Block::ToolUse { name, input, id }) = answer.blocks.last() else {
        panic!("{answer:?}")
    };
    assert_eq!(
        (name.as_str(), input.as_str(), id.len()),
        ("b", r#"{"n":1,"u":"C"}"#, 30)
    );
    assert_eq!(answer.stop_reason, "tool_use");
}

#[test]
fn a_structured_answer_fits_its_schema() {
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
