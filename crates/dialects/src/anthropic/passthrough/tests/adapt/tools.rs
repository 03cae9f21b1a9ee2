//! Tools: their choice, schemas, names and the ids of calls.

use super::*;

#[test]
fn a_tool_is_not_forced_while_the_model_thinks() {
    let tools = r#""tools":[{"name":"f","input_schema":{"type":"object"}}]"#;
    let thinking = format!(
        r#"{tools},"max_tokens":4096,"thinking":{{"type":"enabled","budget_tokens":2048}}"#
    );
    adapts(
        SONNET,
        &format!(r#"{thinking},"tool_choice":{{"type":"tool","name":"f"}}"#),
        &format!(r#"{thinking},"tool_choice":{{"type":"auto"}}"#),
        &["tool_choice"],
    );
    keeps(
        SONNET,
        &format!(r#"{tools},"tool_choice":{{"type":"tool","name":"f"}}"#),
    );
    keeps(
        SONNET,
        &format!(r#"{thinking},"tool_choice":{{"type":"none"}}"#),
    );
}

#[test]
fn references_to_tools_are_kept_with_the_flag_only() {
    let body = r#"{"tools":[{"name":"docs","input_schema":{"type":"object"},"defer_loading":true},{"type":"tool_search_tool_regex_20251119","name":"tool_search_tool_regex"}],"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"s","name":"tool_search_tool_regex","input":{}},{"type":"tool_search_tool_result","tool_use_id":"s","content":{}},{"type":"tool_use","id":"t","name":"find","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"docs"}]}]}]}"#;
    for model in [
        SONNET,
        OPUS_4_5,
        SONNET_4_6,
        OPUS_4_7,
        OPUS_4_8,
        "us.anthropic.claude-sonnet-5",
    ] {
        let flags = ["advanced-tool-use-2025-11-20"];
        let native = on(model, body, &flags, Endpoint::InvokeModel).unwrap();
        let sent = String::from_utf8(native.body).unwrap();
        assert!(
            sent.contains("tool-search-tool-2025-10-19"),
            "{model} {sent}"
        );
        assert!(
            sent.ends_with(body.strip_prefix('{').unwrap()),
            "{model} {sent}"
        );
    }
    let reference = r#""messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"docs"}]}]}]"#;
    let text = reference.replace(
        r#"{"type":"tool_reference","tool_name":"docs"}"#,
        r#"{"type":"text","text":"The tool docs is available."}"#,
    );
    adapts(
        OPUS_4_8,
        reference,
        &text,
        &["messages[].content[].tool_reference"],
    );
}

#[test]
fn schemas_get_the_form_that_claude_accepts() {
    keeps(
        SONNET,
        r#""tools":[{"name":"f","input_schema":{"type":"object","properties":{"a":{"minimum":1.00,"anyOf":[{}]}}}}]"#,
    );
    adapts(
        SONNET,
        r#""tools":[{"name":"f","input_schema":{"type":"object","anyOf":[{"required":["a"]},{"required":["b"]}]}}]"#,
        r#""tools":[{"name":"f","input_schema":{"type":"object","description":"anyOf: [{\"required\":[\"a\"]},{\"required\":[\"b\"]}]"}}]"#,
        &["tools[0].input_schema"],
    );
    adapts(
        SONNET_4_6,
        r#""output_config":{"format":{"type":"json_schema","schema":{"type":["integer","null"],"minimum":1}}}"#,
        r#""output_config":{"format":{"type":"json_schema","schema":{"type":["integer","null"],"description":"minimum: 1"}}}"#,
        &["output_config.format.schema"],
    );
}

#[test]
fn root_unions_are_taken_off_strict_tools_too() {
    let schema = r#"{"type":"object","properties":{"a":{"type":"string"}},"anyOf":[{"required":["a"]},{"required":["b"]}]}"#;
    let native = on(
        SONNET,
        &format!(r#"{{"tools":[{{"name":"f","strict":true,"input_schema":{schema}}}]}}"#),
        &[],
        Endpoint::InvokeModel,
    )
    .unwrap();
    let body: serde_json::Value = serde_json::from_slice(&native.body).unwrap();
    let sent = &body["tools"][0]["input_schema"];
    assert!(sent.get("anyOf").is_none(), "{sent}");
    assert_eq!(sent["additionalProperties"], false);
    assert_eq!(native.warnings.len(), 2, "{:?}", native.warnings);
}

#[test]
fn property_names_that_claude_rejects_are_mapped_and_restored() {
    let given = r#"{"model":"m","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{"filter[id]":1.00,"b":2}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t"}]}],"tools":[{"name":"f","input_schema":{"type":"object","properties":{"filter[id]":{},"b":{}},"required":["filter[id]"]}}]}"#;
    let native = on(SONNET, given, &[], Endpoint::InvokeModel).unwrap();
    let body = String::from_utf8(native.body).unwrap();
    assert!(
        body.contains(r#""properties":{"filter_id_":{},"b":{}},"required":["filter_id_"]"#),
        "{body}"
    );
    assert!(
        body.contains(r#""input":{"filter_id_":1.00,"b":2}"#),
        "{body}"
    );
    assert!(native.warnings.is_empty(), "{:?}", native.warnings);
    let response = r#"{"content":[{"type":"text","text":"x"},{"type":"tool_use","name":"f","input":{"filter_id_": 2.50,"b":1}},{"type":"tool_use","name":"g","input":{"filter_id_":1}}]}"#;
    let restored = native.restorer.response(response.as_bytes()).unwrap();
    let restored: serde_json::Value = serde_json::from_slice(&restored).unwrap();
    assert_eq!(
        restored["content"][1]["input"],
        json!({"filter[id]": 2.5, "b": 1})
    );
    assert_eq!(restored["content"][2]["input"], json!({"filter_id_": 1}));
    let mut stream = PassthroughStream::new("m", native.restorer);
    let mut out = bytes::BytesMut::new();
    for event in [
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"filter_"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"kept"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"id_\":1}"}}"#,
        r#"{"type":"content_block_stop","index":1}"#,
    ] {
        stream.event(event.as_bytes(), &mut out).unwrap();
    }
    let text = String::from_utf8(out.to_vec()).unwrap();
    assert_eq!(text.matches("input_json_delta").count(), 1, "{text}");
    assert!(
        text.contains(r#""partial_json":"{\"filter[id]\":1}""#),
        "{text}"
    );
    assert!(
        text.contains("kept") && text.contains("content_block_stop"),
        "{text}"
    );
}

#[test]
fn call_ids_that_claude_rejects_are_mapped_alike_for_call_and_result() {
    let given = r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"functions.f:0","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"functions.f:0","content":"ok"}]}]}"#;
    let native = on(SONNET, given, &[], Endpoint::InvokeModel).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&native.body).unwrap();
    let id = body["messages"][0]["content"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("functions_f_0_"), "{id}");
    assert_eq!(body["messages"][1]["content"][0]["tool_use_id"], id);
}
