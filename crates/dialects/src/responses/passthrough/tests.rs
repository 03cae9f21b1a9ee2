//! Tests of requests for Bedrock's own endpoints and of their responses.

use bedrock::sse::Decoder;
use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::*;
use crate::families::FamilyTable;

const GPT: &str = "openai.gpt-5.6-sol";
const GPT_OSS: &str = "openai.gpt-oss-120b";

fn by(body: &[u8], model: &str, strict: bool) -> Result<Adapted, RequestError> {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    adapt(body, "upstream", &capabilities, strict)
}

fn on(model: &str, request: &Value) -> (Value, Adapted) {
    let adapted = by(request.to_string().as_bytes(), model, false).unwrap();
    (serde_json::from_slice(&adapted.body).unwrap(), adapted)
}

fn adapted(request: &Value) -> (Value, Adapted) {
    on(GPT, request)
}

#[test]
fn bytes_are_unchanged_if_the_endpoint_accepts_the_request() {
    let body = r#"{ "model" : "alias","input":[{"role":"user","content":"a \u0063ustom \"namespace\" 1.0"}], "tools":[{"type":"namespace","name":"mcp__docs","tools":[{"type":"function","name":"search","parameters":{"const":1e2}}]}]}"#;
    let adapted = by(body.as_bytes(), GPT, true).unwrap();
    let expected = body.replace("\"alias\"", "\"upstream\"");
    assert_eq!(String::from_utf8(adapted.body).unwrap(), expected);
    assert!(adapted.restorer.response(b"{}").is_none());
}

#[test]
fn the_text_of_what_is_not_adapted_is_unchanged() {
    let custom = r#"{"type":"custom_tool_call","call_id":"c","name":"n","input":""}"#;
    let (tool, item) = (
        r#"{ "type":"function","name":"f","parameters":{"maximum": 1.00}}"#,
        r#"{"role":"us\u0065r", "content":"1.00"}"#,
    );
    let body = format!(r#"{{ "tools":[{tool}],"model":"alias", "input":[{item}, {custom}] }}"#);
    let adapted = by(body.as_bytes(), GPT, false).unwrap();
    let adapted = String::from_utf8(adapted.body).unwrap();
    let call =
        r#"{"type":"function_call","call_id":"c","name":"n","arguments":"{\"input\":\"\"}"}"#;
    assert_eq!(
        adapted,
        format!(r#"{{"tools":[{tool}],"model":"upstream","input":[{item},{call}]}}"#)
    );
}

#[test]
fn tools_of_items_move_to_tools_once() {
    let search = json!({"type": "function", "name": "search", "parameters": {}});
    let shell = json!({"type": "function", "name": "shell", "parameters": {}});
    let docs = |tools: Value| json!({"type": "namespace", "name": "mcp__docs", "tools": tools});
    let (body, _) = adapted(&json!({"model": "alias", "input": [
        {"type": "additional_tools", "role": "developer", "tools": [docs(json!([search])), shell]},
        {"role": "user", "content": "hi"},
        {"type": "additional_tools", "tools": [docs(json!([search, shell]))]}]}));
    assert_eq!(body["model"], "upstream");
    assert_eq!(body["input"], json!([{"role": "user", "content": "hi"}]));
    assert_eq!(body["tools"], json!([docs(json!([search, shell])), shell]));
}

#[test]
fn custom_tools_become_functions() {
    let (body, adapted) = adapted(&json!({"model": "alias", "input": [
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c1", "name": "patch", "input": "a \"b\""},
        {"type": "custom_tool_call_output", "id": "x", "call_id": "c1", "output": "ok"}],
        "tool_choice": {"type": "custom", "name": "patch"},
        "tools": [{"type": "custom", "name": "patch", "description": "Edits",
            "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}]}));
    assert_eq!(
        body["input"],
        json!([
            {"type": "function_call", "call_id": "c1", "name": "patch", "arguments": "{\"input\":\"a \\\"b\\\"\"}"},
            {"type": "function_call_output", "call_id": "c1", "output": "ok"}
        ])
    );
    assert_eq!(
        body["tool_choice"],
        json!({"type": "function", "name": "patch"})
    );
    let tool = &body["tools"][0];
    assert_eq!(tool["type"], "function");
    assert_eq!(tool["parameters"]["required"], json!(["input"]));
    assert!(
        tool["description"]
            .as_str()
            .unwrap()
            .ends_with("start: /.+/")
    );
    assert!(tool.get("format").is_none());
    assert_eq!(adapted.warnings.len(), 1);
}

#[test]
fn strict_mode_rejects_a_grammar_that_is_not_enforced() {
    let request = json!({"model": "m", "input": "hi", "tools": [{"type": "custom", "name": "patch",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}}]});
    let error = by(request.to_string().as_bytes(), GPT, true).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("tools[].format"));
}

fn request() -> Value {
    json!({"model": "alias", "input": [
            {"type": "function_call", "call_id": "c", "namespace": "web", "name": "run", "arguments": "{}"}],
        "tools": [
            {"type": "namespace", "name": "web", "tools": [{"type": "function", "name": "run"}]},
            {"type": "namespace", "name": "fs", "tools": [{"type": "custom", "name": "patch"}]},
            {"type": "function", "name": "patch"}]})
}

fn output() -> [Value; 3] {
    [
        json!({"type": "function_call", "id": "fc_0", "call_id": "c0", "namespace": "client_web", "name": "run", "arguments": "{}"}),
        json!({"type": "function_call", "id": "fc_1", "call_id": "c1", "namespace": "fs", "name": "patch", "arguments": "{\"input\":\"*** Begin\"}"}),
        json!({"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "patch", "arguments": "{\"a\":1}"}),
    ]
}

fn restored() -> [Value; 3] {
    let [mut run, mut patch, function] = output();
    run["namespace"] = json!("web");
    patch["type"] = json!("custom_tool_call");
    patch["input"] = json!("*** Begin");
    remove(&mut patch, &["arguments"]);
    [run, patch, function]
}

#[test]
fn reserved_namespaces_and_custom_calls_are_restored() {
    let (body, adapted) = adapted(&request());
    assert_eq!(body["tools"][0]["name"], "client_web");
    assert_eq!(body["input"][0]["namespace"], "client_web");
    assert_eq!(body["tools"][1]["tools"][0]["type"], "function");
    let response = json!({"id": "resp_1", "output": output()}).to_string();
    let response = adapted.restorer.response(response.as_bytes()).unwrap();
    let response: Value = serde_json::from_slice(&response).unwrap();
    assert_eq!(response, json!({"id": "resp_1", "output": restored()}));
}

#[test]
fn streams_are_restored_with_consecutive_numbers() {
    let (_, adapted) = adapted(&request());
    let mut events = vec![json!({"type": "response.created", "response": {"output": []}})];
    for (index, item) in output().into_iter().enumerate() {
        let arguments = item["arguments"].as_str().unwrap();
        let mut begun = item.clone();
        begun["arguments"] = json!("");
        events.push(
            json!({"type": "response.output_item.added", "output_index": index, "item": begun}),
        );
        let (first, rest) = arguments.split_at(1);
        for piece in [first, rest] {
            events.push(json!({"type": "response.function_call_arguments.delta", "output_index": index, "item_id": item["id"], "delta": piece}));
        }
        events.push(json!({"type": "response.function_call_arguments.done", "output_index": index, "item_id": item["id"], "name": item["name"], "arguments": arguments}));
        events.push(
            json!({"type": "response.output_item.done", "output_index": index, "item": item}),
        );
    }
    events.push(json!({"type": "response.completed", "response": {"output": output()}}));
    let mut decoder = Decoder::new(1 << 20);
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
        let kind = event["type"].as_str().unwrap().to_owned();
        decoder.push(Bytes::from(format!("event: {kind}\ndata: {event}\n\n")));
    }
    let mut stream = PassthroughStream::new(adapted.restorer);
    let mut out = BytesMut::new();
    while let Some(event) = decoder.next_event().unwrap() {
        stream.event(&event, None, &mut out);
    }
    let text = String::from_utf8(out.to_vec()).unwrap();
    let mut of_custom = Vec::new();
    let mut count = 0;
    for event in text.split_terminator("\n\n") {
        let (name, data) = event.split_once("\ndata: ").unwrap();
        let event: Value = serde_json::from_str(data).unwrap();
        assert_eq!(name, format!("event: {}", event["type"].as_str().unwrap()));
        assert_eq!(event["sequence_number"], count, "{data}");
        count += 1;
        if event["output_index"] == 1 {
            of_custom.push(event.clone());
        }
        if event["type"] == "response.completed" {
            assert_eq!(event["response"]["output"], json!(restored()));
        }
    }
    assert_eq!(stream.sequence(), count);
    let kinds: Vec<_> = of_custom
        .iter()
        .map(|event| event["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "response.output_item.added",
            "response.custom_tool_call_input.delta",
            "response.custom_tool_call_input.done",
            "response.output_item.done"
        ]
    );
    assert_eq!(of_custom[0]["item"]["input"], "");
    assert_eq!(of_custom[1]["delta"], "*** Begin");
    assert_eq!(of_custom[2]["input"], "*** Begin");
    assert_eq!(of_custom[3]["item"], restored()[1]);
}

/// Passes events through a stream.
fn streamed(restorer: Restorer, events: &[Value], code: Option<&str>) -> String {
    let mut decoder = Decoder::new(1 << 20);
    for event in events {
        decoder.push(Bytes::from(format!("data: {event}\n\n")));
    }
    let mut stream = PassthroughStream::new(restorer);
    let mut out = BytesMut::new();
    while let Some(event) = decoder.next_event().unwrap() {
        stream.event(&event, code, &mut out);
    }
    String::from_utf8(out.to_vec()).unwrap()
}

#[test]
fn functions_in_namespaces_get_one_name_for_models_without_namespaces() {
    let request = json!({"model": "alias",
        "input": [{"type": "function_call", "call_id": "c", "namespace": "mcp__docs", "name": "search", "arguments": "{}"}],
        "tool_choice": {"type": "function", "namespace": "mcp__docs", "name": "search"},
        "tools": [
            {"type": "function", "name": "search"},
            {"type": "namespace", "name": "mcp__docs", "tools": [
                {"type": "function", "name": "search"}, {"type": "custom", "name": "patch"}]}]});
    let (body, adapted) = on(GPT_OSS, &request);
    let names: Vec<_> = body["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| &tool["name"])
        .collect();
    assert_eq!(names, ["search", "mcp__docs__search", "mcp__docs__patch"]);
    assert!(
        body["tools"]
            .as_array()
            .unwrap()
            .iter()
            .all(|tool| tool["type"] == "function")
    );
    assert_eq!(
        body["input"][0],
        json!({"type": "function_call", "call_id": "c", "name": "mcp__docs__search", "arguments": "{}"})
    );
    assert_eq!(
        body["tool_choice"],
        json!({"type": "function", "name": "mcp__docs__search"})
    );
    let call = |name: &str| json!({"type": "function_call", "call_id": "c", "name": name, "arguments": "{\"input\":\"x\"}"});
    let response =
        json!({"output": [call("search"), call("mcp__docs__search"), call("mcp__docs__patch")]});
    let response = adapted
        .restorer
        .response(response.to_string().as_bytes())
        .unwrap();
    let response: Value = serde_json::from_slice(&response).unwrap();
    assert_eq!(response["output"][0], call("search"));
    assert_eq!(response["output"][1]["namespace"], "mcp__docs");
    assert_eq!(response["output"][1]["name"], "search");
    assert_eq!(response["output"][2]["type"], "custom_tool_call");
    assert_eq!(response["output"][2]["input"], "x");
}

#[test]
fn tools_that_openai_runs_are_dropped_for_gpt_oss_only() {
    let search = json!({"type": "web_search", "external_web_access": false});
    let request = json!({"model": "alias", "input": "x", "tools": [
        {"type": "function", "name": "search"}, search, {"type": "image_generation"}]});
    let (body, dropped) = on(GPT_OSS, &request);
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "name": "search"}])
    );
    assert_eq!(dropped.warnings.len(), 2, "{:?}", dropped.warnings);
    assert!(by(request.to_string().as_bytes(), GPT_OSS, true).is_err());
    let (body, kept) = on(GPT, &request);
    assert_eq!(body["tools"], request["tools"]);
    assert!(kept.warnings.is_empty());
}

#[test]
fn omitted_namespaces_of_calls_are_restored_if_they_are_unambiguous() {
    let tools = json!([
        {"type": "function", "name": "plain"},
        {"type": "namespace", "name": "collaboration", "tools": [
            {"type": "function", "name": "spawn_agent"}, {"type": "function", "name": "plain"}, {"type": "function", "name": "both"}]},
        {"type": "namespace", "name": "other", "tools": [{"type": "function", "name": "both"}]}]);
    let (_, adapted) = adapted(&json!({"model": "alias", "input": "hi", "tools": tools}));
    let call = |name: &str| json!({"type": "function_call", "name": name, "arguments": "{}"});
    let unchanged = json!({"output": [call("plain"), call("both")]}).to_string();
    assert!(adapted.restorer.response(unchanged.as_bytes()).is_none());
    let item = json!({"type": "response.output_item.done", "output_index": 0, "item": call("spawn_agent")});
    let text = streamed(
        adapted.restorer,
        &[
            item,
            json!({"type":  "response.output_item.done", "item": call("plain")}),
        ],
        None,
    );
    assert!(text.contains(r#""namespace":"collaboration""#), "{text}");
    assert_eq!(text.matches("namespace").count(), 1, "{text}");
}

#[test]
fn searches_of_the_client_and_other_items_of_codex_become_known_items() {
    let search = json!({"type": "function", "name": "read", "parameters": {}});
    let (body, adapted) = adapted(&json!({"model": "alias",
        "tools": [{"type": "tool_search", "execution": "client", "description": "Finds tools", "parameters": {"type": "object"}}],
        "input": [
            {"type": "tool_search_call", "id": "ts_1", "call_id": "c1", "execution": "client", "arguments": {"query": "read"}},
            {"type": "tool_search_output", "call_id": "c1", "execution": "client", "tools": [search]},
            {"type": "tool_search_call", "execution": "server"},
            {"type": "local_shell_call", "id": "ls_1", "call_id": "c2", "action": {"type": "exec", "command": ["ls"]}},
            {"type": "function_call_output", "call_id": "c2", "output": "a"},
            {"type": "agent_message", "content": [{"type": "encrypted_content", "encrypted_content": "Done."}]},
            {"type": "context_compaction", "encrypted_content": "x"}]}));
    assert_eq!(
        body["input"],
        json!([
            {"type": "function_call", "call_id": "c1", "arguments": "{\"query\":\"read\"}", "name": "tool_search"},
            {"type": "function_call_output", "call_id": "c1", "output": "These tools are available now: read"},
            {"type": "function_call", "call_id": "c2", "name": "local_shell", "arguments": "{\"type\":\"exec\",\"command\":[\"ls\"]}"},
            {"type": "function_call_output", "call_id": "c2", "output": "a"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Done."}]},
            {"type": "compaction", "encrypted_content": "x"}])
    );
    assert_eq!(body["tools"][0]["type"], "function");
    assert_eq!(body["tools"][1], search);
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "c3", "name": "tool_search", "arguments": "{\"query\":\"x\"}"});
    let response = json!({"output": [call]}).to_string();
    let response = adapted.restorer.response(response.as_bytes()).unwrap();
    let response: Value = serde_json::from_slice(&response).unwrap();
    assert_eq!(
        response["output"][0],
        json!({"type": "tool_search_call", "id": "fc_1", "call_id": "c3", "arguments": {"query": "x"}, "execution": "client"})
    );
}

#[test]
fn the_code_of_a_failed_response_is_replaced() {
    let failed = json!({"type": "response.failed", "sequence_number": 0, "response": {"status": "failed",
        "error": {"code": "validation_error", "message": "Your input exceeds the context window"}}});
    let error = json!({"type": "error", "sequence_number": 1, "code": "x", "message": "m"});
    let text = streamed(
        Restorer::default(),
        &[failed, error],
        Some("context_length_exceeded"),
    );
    assert_eq!(
        text.matches(r#""code":"context_length_exceeded""#).count(),
        2,
        "{text}"
    );
}

#[test]
fn null_is_absent_in_items_and_errors() {
    let (body, _) = adapted(&json!({"model": "alias", "tools": null, "input": [
        {"type": "tool_search_call", "call_id": null, "execution": "server", "arguments": {}},
        {"type": "tool_search_output", "call_id": null, "execution": "server", "tools": []},
        {"type": "tool_search_call", "call_id": "c1", "arguments": null},
        {"type": "tool_search_call", "call_id": "c2", "arguments": "{\"query\":\"x\"}"},
        {"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": null},
        {"type": "local_shell_call", "call_id": "c4", "action": null}]}));
    let call = |id: &str, name: &str, arguments: &str| json!({"type": "function_call", "call_id": id, "arguments": arguments, "name": name});
    assert_eq!(
        body["input"],
        json!([
            call("c1", "tool_search", "{}"),
            call("c2", "tool_search", "{\"query\":\"x\"}"),
            call("c3", "patch", "{\"input\":\"\"}"),
            call("c4", "local_shell", "{}"),
        ])
    );
    let mut stream = PassthroughStream::new(Restorer::default());
    let text = "event: error\ndata: {\"type\":\"error\",\"error\":null,\"response\":null,\"code\":\"x\"}\n\n";
    let mut decoder = Decoder::new(1 << 20);
    let mut out = BytesMut::new();
    decoder.push(Bytes::from(text));
    while let Some(event) = decoder.next_event().unwrap() {
        stream.event(&event, Some("context_length_exceeded"), &mut out);
    }
    let out = String::from_utf8(out.to_vec()).unwrap();
    assert!(
        out.contains("\"code\":\"context_length_exceeded\""),
        "{out}"
    );
}
