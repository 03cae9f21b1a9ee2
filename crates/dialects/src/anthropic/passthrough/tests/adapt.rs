//! Tests that a request is adapted to what the model supports.

use super::*;

const HAIKU_3: &str = "anthropic.claude-3-haiku-20240307-v1:0";
const SONNET_3_7: &str = "us.anthropic.claude-3-7-sonnet-20250219-v1:0";
const OPUS_4_1: &str = "us.anthropic.claude-opus-4-1-20250805-v1:0";
const OPUS_4_5: &str = "us.anthropic.claude-opus-4-5-20251101-v1:0";
const SONNET_4_6: &str = "us.anthropic.claude-sonnet-4-6";
const OPUS_4_7: &str = "us.anthropic.claude-opus-4-7";
const OPUS_4_8: &str = "us.anthropic.claude-opus-4-8";

/// Sends members of a body natively, and compares the members upstream and the names of the warnings.
#[track_caller]
fn adapts(model: &str, given: &str, expected: &str, warnings: &[&str]) {
    let native = on(model, &format!("{{{given}}}"), &[], Endpoint::InvokeModel).unwrap();
    let body = String::from_utf8(native.body).unwrap();
    let _: serde_json::Value = serde_json::from_str(&body).unwrap();
    let version = "\"anthropic_version\":\"bedrock-2023-05-31\"";
    let rest = body.replacen(&format!("{version},"), "", 1);
    assert_eq!(
        rest.replacen(version, "", 1),
        format!("{{{expected}}}"),
        "{model}"
    );
    let named: Vec<&str> = native
        .warnings
        .iter()
        .map(|warning| warning.split(": ").next().unwrap())
        .collect();
    assert_eq!(named, warnings, "{model} {given}");
}

#[track_caller]
fn keeps(model: &str, given: &str) {
    adapts(model, given, given, &[]);
}

#[test]
fn supported_settings_are_unchanged() {
    for model in [SONNET, SONNET_3_7, OPUS_4_1, SONNET_4_6] {
        keeps(
            model,
            r#""max_tokens":4096,"thinking": {"type":"enabled","budget_tokens":2048 }"#,
        );
        keeps(model, r#""max_tokens":100,"temperature":0.50"#);
    }
    for model in [SONNET_4_6, OPUS_4_7, OPUS_4_8] {
        keeps(
            model,
            r#""max_tokens":4096,"thinking":{"type":"adaptive","display":"summarized"},"output_config": {"effort":"high"}"#,
        );
    }
    keeps(OPUS_4_8, r#""temperature":1,"top_p":1.0,"messages":[]"#);
    keeps(HAIKU_3, r#""max_tokens":4096,"temperature":0.2,"top_k":5"#);
}

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
fn a_system_message_between_a_call_and_its_result_follows_the_result() {
    let call =
        r#"{"role":"assistant","content":[{"type":"tool_use","id":"a","name":"f","input":{}}]}"#;
    let result = r#"{"type":"tool_result","tool_use_id":"a","content":"r"}"#;
    let text = r#"{"type":"text","text":"Mind it."}"#;
    let cached = r#"{"type":"text","text":"Mind it.","cache_control":{"type":"ephemeral"}}"#;
    let blank = r#"{"type":"text","text":" "}"#;
    for (content, expected) in [
        ("\"Mind it.\"", text),
        (&*format!("[{text}]"), text),
        (&*format!("[{blank},{cached}]"), cached),
    ] {
        adapts(
            SONNET,
            &format!(
                r#""messages":[{{"role":"user","content":"q"}},{call},{{"role":"system","content":{content}}},{{"role":"user","content":[{result}]}}]"#
            ),
            &format!(
                r#""messages":[{{"role":"user","content":"q"}},{call},{{"role":"user","content":[{result},{expected}]}}]"#
            ),
            &["messages[].role"],
        );
        // With the role, it stays a message.
        let system = format!(r#"{{"role":"system","content":{content}}}"#);
        let user = format!(r#"{{"role":"user","content":[{result}]}}"#);
        let kept = system.replace(&format!("{blank},"), "");
        let (mut given, mut sent) = (String::new(), String::new());
        for (body, messages) in [(&mut given, [&system, &user]), (&mut sent, [&user, &kept])] {
            let [first, second] = messages;
            *body =
                format!(r#""messages":[{{"role":"user","content":"q"}},{call},{first},{second}]"#);
        }
        let warnings: &[&str] = if kept == system {
            &[]
        } else {
            &["messages[].content"]
        };
        adapts(OPUS_4_8, &given, &sent, warnings);
    }
}

#[test]
fn points_of_thinking_and_blank_text_go_to_the_block_before() {
    let point = r#""cache_control":{"type":"ephemeral"}"#;
    let thinking = r#"{"type":"thinking","thinking":"","signature":"c""#;
    let text = |point: &str| format!(r#"{{{point}"type":"text","text":"a"}}"#);
    let body = |user: &str, answer: &str| {
        format!(
            r#""messages":[{{"role":"user","content":{user}}},{{"role":"assistant","content":[{answer}]}}]"#
        )
    };
    let marked = format!(r#"[{{"type":"text","text":"q",{point}}}]"#);
    adapts(
        SONNET,
        &body("\"q\"", &format!("{thinking},{point}}},{}", text(""))),
        &body(&marked, &format!("{thinking}}},{}", text(""))),
        &["cache_control"],
    );
    let blank = format!(r#"{{"type":"text","text":" ",{point}}}"#);
    adapts(
        SONNET,
        &body("\"q\"", &format!("{},{blank}", text(""))),
        &body("\"q\"", &text(&format!("{point},"))),
        &["cache_control", "messages[].content"],
    );
    // The block before has one already.
    adapts(
        SONNET,
        &body(&marked, &format!("{thinking},{point}}},{}", text(""))),
        &body(&marked, &format!("{thinking}}},{}", text(""))),
        &["cache_control"],
    );
}

#[test]
fn automatic_caching_is_a_point_on_the_last_block() {
    let given = |control: &str, content: &str| {
        format!(r#""cache_control":{control},"messages":[{{"role":"user","content":{content}}}]"#)
    };
    let sent = |content: &str| format!(r#""messages":[{{"role":"user","content":{content}}}]"#);
    let short = r#"{"type":"ephemeral"}"#;
    let long = r#"{"type":"ephemeral","ttl":"1h"}"#;
    let lowered = r#"{"type":"ephemeral","ttl":"5m"}"#;
    for (control, content, expected, warnings) in [
        (
            short,
            r#""hi""#.to_owned(),
            format!(r#"[{{"type":"text","text":"hi","cache_control":{short}}}]"#),
            &[][..],
        ),
        (
            long,
            r#"[{"type":"text","text":"a"},{"type":"text","text":"b"}]"#.to_owned(),
            format!(
                r#"[{{"type":"text","text":"a"}},{{"cache_control":{long},"type":"text","text":"b"}}]"#
            ),
            &[],
        ),
        (
            long,
            format!(
                r#"[{{"type":"text","text":"a","cache_control":{short}}},{{"type":"text","text":"b"}}]"#
            ),
            format!(
                r#"[{{"type":"text","text":"a","cache_control":{short}}},{{"cache_control":{lowered},"type":"text","text":"b"}}]"#
            ),
            &["cache_control.ttl"],
        ),
        // The last block that may have one.
        (
            short,
            r#"[{"type":"text","text":"a"},{"type":"text","text":" "}]"#.to_owned(),
            format!(r#"[{{"cache_control":{short},"type":"text","text":"a"}}]"#),
            &["messages[].content"],
        ),
    ] {
        adapts(
            SONNET,
            &given(control, &content),
            &sent(&expected),
            warnings,
        );
    }
}

#[test]
fn adaptive_thinking_becomes_a_budget_or_is_dropped() {
    let given =
        r#""max_tokens":32000,"thinking":{"type":"adaptive"},"output_config":{"effort":"medium"}"#;
    let budget = r#""max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":8192}"#;
    for model in [SONNET, SONNET_3_7, OPUS_4_1] {
        adapts(model, given, budget, &["thinking"]);
    }
    adapts(
        HAIKU_3,
        r#""max_tokens":100,"thinking":{"type":"adaptive"},"output_config":{"effort":"high"}"#,
        r#""max_tokens":100"#,
        &["thinking", "output_config.effort"],
    );
    adapts(
        SONNET,
        r#""max_tokens":2000,"thinking":{"type":"adaptive"}"#,
        r#""max_tokens":2000"#,
        &["thinking"],
    );
    adapts(
        OPUS_4_8,
        r#""max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2048,"display":"omitted"}"#,
        r#""max_tokens":9000,"thinking":{"type":"adaptive","display":"omitted"}"#,
        &["thinking"],
    );
    adapts(
        HAIKU_3,
        r#""thinking":{"type":"disabled"},"max_tokens":9"#,
        r#""max_tokens":9"#,
        &[],
    );
}

#[test]
fn display_updates_becomes_a_value_without_a_flag() {
    adapts(
        OPUS_4_8,
        r#""max_tokens":9000,"thinking":{"type":"adaptive","display":"updates"}"#,
        r#""max_tokens":9000,"thinking":{"type":"adaptive","display":"summarized"}"#,
        &["thinking.display"],
    );
    adapts(
        SONNET,
        r#""max_tokens":9000,"thinking":{"budget_tokens":2048,"type":"enabled","display":"updates"}"#,
        r#""max_tokens":9000,"thinking":{"budget_tokens":2048,"type":"enabled"}"#,
        &["thinking.display"],
    );
}

#[test]
fn effort_goes_to_models_that_have_it() {
    adapts(
        SONNET_4_6,
        r#""output_config":{"effort":"xhigh"}"#,
        r#""output_config":{"effort":"max"}"#,
        &["output_config.effort"],
    );
    adapts(
        SONNET,
        r#""output_config":{"effort":"low","format":null}"#,
        r#""output_config":{"format":null}"#,
        &["output_config.effort"],
    );
    let native = on(
        OPUS_4_5,
        r#"{"output_config":{"effort":"low"}}"#,
        &[],
        Endpoint::InvokeModel,
    )
    .unwrap();
    let body = String::from_utf8(native.body).unwrap();
    assert!(
        body.contains(r#""anthropic_beta":["effort-2025-11-24"]"#),
        "{body}"
    );
    assert!(body.contains(r#""effort":"low""#), "{body}");
}

#[test]
fn token_limit_is_lowered_to_the_maximum() {
    adapts(
        HAIKU_3,
        r#""max_tokens":32000"#,
        r#""max_tokens":4096"#,
        &["max_tokens"],
    );
    adapts(
        OPUS_4_1,
        r#""max_tokens":64000,"thinking":{"type":"enabled","budget_tokens":40000}"#,
        r#""max_tokens":32000,"thinking":{"type":"enabled","budget_tokens":27904}"#,
        &["max_tokens", "thinking"],
    );
    let beta = ["output-128k-2025-02-19"];
    let body = r#"{"max_tokens":128000}"#;
    let native = on(SONNET_3_7, body, &beta, Endpoint::InvokeModel).unwrap();
    assert!(String::from_utf8(native.body).unwrap().contains("128000"));
    let capabilities = FamilyTable::builtin().resolve(HAIKU_3, None);
    let mut options = DecodeOptions::new(&capabilities);
    options.strict = true;
    let body = br#"{"max_tokens":32000}"#;
    let error = passthrough(body, &[], Endpoint::InvokeModel, &options).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("max_tokens"));
}

#[test]
fn sampling_is_dropped_if_the_model_rejects_it() {
    adapts(
        OPUS_4_7,
        r#""temperature":0.5,"top_p":0.9,"top_k":5,"max_tokens":9"#,
        r#""max_tokens":9"#,
        &["temperature", "top_p", "top_k"],
    );
    adapts(
        SONNET,
        r#""temperature":0.5,"top_p":0.9"#,
        r#""temperature":0.5"#,
        &["top_p"],
    );
    adapts(
        SONNET,
        r#""max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"temperature":0.5,"top_p":0.97"#,
        r#""max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":2000},"top_p":0.97"#,
        &["temperature"],
    );
}

#[test]
fn system_messages_become_user_turns_before_4_8() {
    let given = r#""messages":[{"role":"user","content":"a"},{"role":"system","content":[{"type":"text","text":"b","cache_control":{"type":"ephemeral"}}]}]"#;
    for model in [HAIKU_3, SONNET, SONNET_4_6, OPUS_4_7] {
        let expected = given.replace("\"system\"", "\"user\"");
        adapts(model, given, &expected, &["messages[].role"]);
    }
    for model in [
        OPUS_4_8,
        "us.anthropic.claude-sonnet-5",
        "anthropic.claude-opus-5",
    ] {
        keeps(model, given);
    }
}

#[test]
fn hours_after_five_minutes_are_lowered_in_the_order_of_bedrock() {
    let point = |ttl: &str| format!(r#""cache_control":{{"type":"ephemeral"{ttl}}}"#);
    let body = |first: &str, second: &str| {
        format!(
            r#""messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"text","text":"x",{}}}]}}]}}],"system":[{{"type":"text","text":"s",{}}}],"tools":[]"#,
            point(second),
            point(first),
        )
    };
    let (short, hour) = ("", r#","ttl":"1h""#);
    keeps(SONNET, &body(hour, short));
    keeps(SONNET, &body(hour, hour));
    adapts(
        SONNET,
        &body(short, hour),
        &body(short, r#","ttl":"5m""#),
        &["cache_control.ttl"],
    );
    adapts(
        SONNET,
        r#""messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"c","cache_control":{"type":"ephemeral"}},{"type":"text","text":"a"}]}]"#,
        r#""messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"c"},{"type":"text","text":"a"}]}]"#,
        &["cache_control"],
    );
}

#[test]
fn sources_get_the_form_that_claude_accepts() {
    let block = |kind: &str, source: &str| {
        format!(
            r#""messages":[{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{{}}}}]}},{{"role":"user","content":[{{"type":"tool_result","tool_use_id":"t","content":[{{"type":"{kind}","source":{source}}}]}}]}}]"#
        )
    };
    let image = |kind: &str| {
        block(
            "image",
            &format!(
                r#"{{"type":"base64","media_type":"{kind}","data":"iVBORw0KGgoAAAANSUhEUgAAAAE="}}"#
            ),
        )
    };
    keeps(SONNET, &image("image/png"));
    let param = "messages[1].content[0].content[0].source.media_type";
    adapts(SONNET, &image("image/jpeg"), &image("image/png"), &[param]);
    adapts(
        SONNET,
        &block(
            "document",
            r#"{"type":"base64","media_type":"text/plain","data":"R3L8bi4="}"#,
        ),
        &block(
            "document",
            r#"{"type":"text","media_type":"text/plain","data":"Grün."}"#,
        ),
        &["messages[1].content[0].content[0].source"],
    );
    keeps(
        SONNET,
        &block(
            "document",
            r#"{"type":"text","media_type":"text/plain","data":"x"}"#,
        ),
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
fn requests_that_only_converse_can_serve_are_found() {
    let format =
        r#"{"output_config":{"format":{"type":"json_schema","schema":{"type":"object"}}}}"#;
    let deprecated = r#"{"output_format":{"type":"json_schema","schema":{"type":"object"}}}"#;
    let forced = r#"{"tool_choice":{"type":"tool","name":"f"}}"#;
    for (model, body, expected) in [
        (HAIKU_3, format, true),
        (SONNET_3_7, deprecated, true),
        (OPUS_4_8, format, true),
        (SONNET, format, false),
        (
            HAIKU_3,
            r#"{"output_config":{"effort":"low"},"output_format":null}"#,
            false,
        ),
        (HAIKU_3, forced, false),
        ("us.anthropic.claude-fable-5", forced, true),
        (
            "us.anthropic.claude-fable-5",
            r#"{"tool_choice":{"type":"auto"}}"#,
            false,
        ),
    ] {
        let capabilities = FamilyTable::builtin().resolve(model, None);
        let options = DecodeOptions::new(&capabilities);
        assert_eq!(
            needs_converse(body.as_bytes(), &options),
            expected,
            "{model} {body}"
        );
    }
    let via = Endpoint::Anthropic { model: OPUS_4_8 };
    let error = on(OPUS_4_8, deprecated, &[], via).unwrap_err();
    assert_eq!(error.param.as_deref(), Some("output_format"));
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
fn blank_text_is_left_out() {
    adapts(
        SONNET,
        r#""system":[{"type":"text","text":""},{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"\n"}]},{"role":"assistant","content":" "},{"role":"user","content":"b"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":""}]}]}]"#,
        r#""system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"text","text":"a"}]},{"role":"assistant","content":[{"type":"text","text":"."}]},{"role":"user","content":"b"},{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":""}]}]"#,
        &[
            "system",
            "messages[].content",
            "messages[].content[].content",
        ],
    );
    adapts(
        SONNET,
        r#""system":[{"type":"text","text":" "}],"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"\n"}]"#,
        r#""messages":[{"role":"user","content":"a"}]"#,
        &["system", "messages[].content"],
    );
    keeps(
        SONNET,
        r#""system":"", "messages":[{"role":"user","content":[{"type":"text","text":" a "}]},{"role":"assistant","content":""}]"#,
    );
}

#[test]
fn turns_of_reasoning_alone_get_a_placeholder_or_are_dropped() {
    let thinking = r#"{"type":"thinking","thinking":"t","signature":"s"}"#;
    adapts(
        SONNET,
        &format!(
            r#""messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[{thinking}]}},{{"role":"user","content":"b"}},{{"role":"assistant","content":[{thinking},{{"type":"text","text":""}}]}}]"#
        ),
        &format!(
            r#""messages":[{{"role":"user","content":"a"}},{{"role":"assistant","content":[{thinking},{{"text":".","type":"text"}}]}},{{"role":"user","content":"b"}}]"#
        )
        .replace(r#"{"text":".","type":"text"}"#, r#"{"type":"text","text":"."}"#),
        &["messages[].content", "messages[].content", "messages[].content"],
    );
    keeps(
        SONNET,
        &format!(
            r#""messages":[{{"role":"assistant","content":[{thinking},{{"type":"text","text":"a"}}]}}]"#
        ),
    );
}

#[test]
fn only_the_last_four_cache_points_are_kept() {
    let block = |text: &str, point: &str| format!(r#"{{"type":"text","text":"{text}"{point}}}"#);
    let point = r#","cache_control":{"type":"ephemeral"}"#;
    let body = |first: &str, second: &str| {
        format!(
            r#""tools":[{{"name":"f","input_schema":{{}}{first}}}],"system":[{}],"messages":[{{"role":"user","content":[{},{},{},{}]}}]"#,
            block("s", second),
            block("a", point),
            block("b", point),
            block("c", point),
            block("d", point)
        )
    };
    adapts(
        SONNET,
        &body(point, point),
        &body("", ""),
        &["cache_control"],
    );
    keeps(SONNET, &body("", ""));
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
