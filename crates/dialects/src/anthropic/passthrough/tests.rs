//! Tests that unsupported fields are removed or rejected and nothing else changes.

use serde_json::json;

use super::*;
use crate::families::FamilyTable;
use crate::translation::with_client_model;

mod adapt;
mod pairs;

const SONNET: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn on(
    model: &str,
    body: &str,
    betas: &[&str],
    endpoint: Endpoint<'_>,
) -> Result<Passthrough, RequestError> {
    let capabilities = FamilyTable::builtin().resolve(model, None);
    passthrough(
        body.as_bytes(),
        betas,
        endpoint,
        &DecodeOptions::new(&capabilities),
    )
}

#[track_caller]
fn check(body: &str, betas: &[&str], expected: &str, warnings: &[&str]) {
    let native = on(SONNET, body, betas, Endpoint::InvokeModel).unwrap();
    assert_eq!(String::from_utf8(native.body).unwrap(), expected);
    let named: Vec<&str> = native
        .warnings
        .iter()
        .map(|warning| warning.split(": ").next().unwrap())
        .collect();
    assert_eq!(named, warnings);
}

#[track_caller]
fn rejected(body: &str, param: &str) {
    let error = on(SONNET, body, &[], Endpoint::InvokeModel).unwrap_err();
    assert_eq!(error.param.as_deref(), Some(param), "{error}");
}

#[test]
fn a_body_that_is_not_json_is_rejected_as_in_converse() {
    let capabilities = FamilyTable::builtin().resolve(SONNET, None);
    let options = DecodeOptions::new(&capabilities);
    for body in [
        // Found by fuzzing: a head is found without a parser.
        &br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"]}"#[..],
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"h\i"}]}"#,
        br#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"h\ud83d"}]}"#,
        b"{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"h\ni\"}]}",
        b"{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"user\",\"content\":\"\xff\"}]}",
        br#"{"model":"m","max_tokens":1e400,"messages":[]}"#,
        br#"{"model":"m","max_tokens":9,"messages":[],}"#,
        br#"{"model":"m","max_tokens":9,"messages":[]} {}"#,
        br#"[{"model":"m"}]"#,
        b"",
    ] {
        let text = String::from_utf8_lossy(body);
        let by_converse = crate::anthropic::decode(body, &[], &options).unwrap_err();
        let forwarded = passthrough(body, &[], Endpoint::InvokeModel, &options).unwrap_err();
        assert_eq!(forwarded, by_converse, "{text}");
        assert_eq!(forwarded.code, "invalid_json", "{text}");
        let counted = crate::anthropic::count_passthrough(body, &[], &options).unwrap_err();
        assert_eq!(counted, by_converse, "{text}");
    }
}

#[test]
fn a_body_that_only_serde_reads_is_forwarded() {
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    let body = format!(r#"{{"model":"m","x":{deep}}}"#);
    let native = on(SONNET, &body, &[], Endpoint::Anthropic { model: "n" }).unwrap();
    let expected = body.replace("\"m\"", "\"n\"");
    assert_eq!(String::from_utf8(native.body).unwrap(), expected);
}

#[test]
fn model_and_stream_are_removed_and_the_version_added() {
    check(
        r#"{"model":"fast","max_tokens":1e2, "stream":true, "messages":[{"role":"user","content":"\u00e9 ü"}],"unknown":{"b":1.0,"a":12345678901234567890123}}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","max_tokens":1e2, "messages":[{"role":"user","content":"\u00e9 ü"}],"unknown":{"b":1.0,"a":12345678901234567890123}}"#,
        &[],
    );
    check(
        r#"{"anthropic_version":"bedrock-2023-05-31","model":"fast","messages":[]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","messages":[]}"#,
        &[],
    );
}

#[test]
fn beta_flags_of_headers_and_body_are_merged_and_filtered() {
    check(
        r#"{"model":"m","anthropic_beta":["context-1m-2025-08-07","files-api-2025-04-14"],"messages":[]}"#,
        &[
            "interleaved-thinking-2025-05-14, claude-code-20250219",
            "context-1m-2025-08-07",
        ],
        r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["interleaved-thinking-2025-05-14","context-1m-2025-08-07"],"messages":[]}"#,
        &["anthropic-beta"],
    );
}

#[test]
fn unsupported_fields_of_tools_are_removed() {
    check(
        r#"{"tools":[{"name":"a","input_schema":{"type":"object","eager_input_streaming":{}},"eager_input_streaming":true,"defer_loading":false},{"type":"bash_20250124","name":"bash","allowed_callers":["direct"]}]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","tools":[{"name":"a","input_schema":{"type":"object","eager_input_streaming":{}}},{"type":"bash_20250124","name":"bash"}]}"#,
        &["tools[].eager_input_streaming"],
    );
    check(
        r#"{"tools":[{"name":"a","defer_loading":true}]}"#,
        &["advanced-tool-use-2025-11-20"],
        r#"{"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["tool-search-tool-2025-10-19","tool-examples-2025-10-29"],"tools":[{"name":"a","defer_loading":true}]}"#,
        &[],
    );
}

#[test]
fn rejects_unsupported_features_by_name() {
    for (body, param) in [
        (r#"{"container":"c"}"#, "container"),
        (r#"{"mcp_servers":[{"name":"n"}]}"#, "mcp_servers"),
        (r#"{"inference_geo":"us"}"#, "inference_geo"),
        (
            r#"{"tools":[{"name":"a"},{"type":"web_search_20250305","name":"w"}]}"#,
            "tools[1].type",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"https://e.com/a.png"}}]}]}"#,
            "messages[0].content[1].source.type",
        ),
        (
            r#"{"messages":[{"role":"user","content":[{"type":"document","source":{"type":"file","file_id":"f"}}]}]}"#,
            "messages[0].content[0].source.type",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"image","source":{"type":"url","url":"u"}}]}]}]}"#,
            "messages[1].content[0].content[0].source.type",
        ),
        (
            r#"{"messages":[{"role":"assistant","content":[{"type":"server_tool_use","id":"s"}]}]}"#,
            "messages[0].content[0].type",
        ),
        (r#"{"service_tier":"flex"}"#, "service_tier"),
    ] {
        rejected(body, param);
    }
    check(
        r#"{"mcp_servers":[],"container":null,"messages":[]}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","messages":[]}"#,
        &[],
    );
}

#[test]
fn cache_control_is_reduced_to_supported_members() {
    let body = r#"{"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","scope":"global","ttl":"1h"}}]}"#;
    check(
        body,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral","ttl":"1h"}}]}"#,
        &[],
    );
    let older = on(
        "anthropic.claude-3-7-sonnet-20250219-v1:0",
        body,
        &[],
        Endpoint::InvokeModel,
    )
    .unwrap();
    assert!(
        String::from_utf8(older.body)
            .unwrap()
            .contains(r#""cache_control":{"type":"ephemeral"}"#)
    );
    assert_eq!(older.warnings.len(), 1);
}

#[test]
fn output_format_becomes_output_config_format() {
    check(
        r#"{"output_format":{"type":"json_schema","schema":{"z":1.0}}}"#,
        &[],
        r#"{"output_config":{"format":{"type":"json_schema","schema":{"z":1.0}}},"anthropic_version":"bedrock-2023-05-31"}"#,
        &[],
    );
    check(
        r#"{"output_config":{"effort":"low"},"output_format":{}}"#,
        &[],
        r#"{"anthropic_version":"bedrock-2023-05-31","output_config":{"format":{}}}"#,
        &["output_config.effort"],
    );
    rejected(
        r#"{"output_config":{"format":{}},"output_format":{}}"#,
        "output_format",
    );
}

#[test]
fn anthropic_endpoint_keeps_model_and_stream_and_gets_flags_for_a_header() {
    let body = r#"{"model":"fast","stream":true,"anthropic_version":"x","messages":[]}"#;
    let endpoint = Endpoint::Anthropic {
        model: "anthropic.claude-opus-5",
    };
    let betas = ["interleaved-thinking-2025-05-14"];
    let native = on("anthropic.claude-opus-5", body, &betas, endpoint).unwrap();
    assert_eq!(
        String::from_utf8(native.body).unwrap(),
        r#"{"model":"anthropic.claude-opus-5","stream":true,"messages":[]}"#
    );
    assert_eq!(native.betas, betas);
}

#[test]
fn service_tier_becomes_bedrocks_header() {
    for (word, tier) in [("auto", None), ("standard_only", Some("default"))] {
        let body = format!(r#"{{"service_tier":"{word}"}}"#);
        let native = on(SONNET, &body, &[], Endpoint::InvokeModel).unwrap();
        assert_eq!(native.service_tier, tier);
        assert_eq!(
            native.body,
            br#"{"anthropic_version":"bedrock-2023-05-31"}"#
        );
    }
}

fn chunk(event: &str) -> Vec<u8> {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    format!(r#"{{"bytes":"{}","p":"abc"}}"#, STANDARD.encode(event)).into_bytes()
}

#[test]
fn events_pass_through_without_bedrocks_metrics() {
    let mut stream = PassthroughStream::default();
    let mut out = bytes::BytesMut::new();
    for event in [
        r#"{"type":"message_start","message":{"usage":{"input_tokens":7,"cache_read_input_tokens":3,"output_tokens":1}}}"#,
        "{\"type\" : \"content_block_delta\",\n\"delta\":{\"text\":\"\\u00e9 ü\",\"n\":1.00}}",
        r#"{"type":"message_delta","usage":{"output_tokens":9}}"#,
        r#"{"type":"message_stop","amazon-bedrock-invocationMetrics":{"inputTokenCount":7}}"#,
    ] {
        stream.chunk(&chunk(event), &mut out).unwrap();
    }
    assert!(stream.finish(&mut out));
    let expected = concat!(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":7,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n",
        "event: content_block_delta\ndata: {\"type\" : \"content_block_delta\", \"delta\":{\"text\":\"\\u00e9 ü\",\"n\":1.00}}\n\n",
        "event: message_delta\ndata: {\"type\":\"message_delta\",\"usage\":{\"output_tokens\":9}}\n\n",
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    );
    assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    let usage = stream.usage().unwrap();
    assert_eq!((usage.prompt_tokens(), usage.output_tokens), (10, 9));
}

#[test]
fn truncated_stream_ends_with_one_error() {
    let mut stream = PassthroughStream::default();
    let mut out = bytes::BytesMut::new();
    stream
        .chunk(&chunk(r#"{"type":"message_start"}"#), &mut out)
        .unwrap();
    out.clear();
    assert!(!stream.finish(&mut out));
    assert!(out.starts_with(
        b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\""
    ));
    let length = out.len();
    stream.finish(&mut out);
    assert_eq!(out.len(), length, "nothing follows the end");
    assert!(PassthroughStream::default().chunk(b"{}", &mut out).is_err());
}

#[test]
fn model_of_the_client_replaces_bedrocks_and_no_other_byte() {
    let start = r#"{"type":"message_start", "message":{"id":"msg_1","model" : "claude-sonnet-4-5-20250929","usage":{"input_tokens":7}}}"#;
    let delta =
        r#"{"type":"content_block_delta","delta":{"text":"\"model\":\"claude\""},"model":"x"}"#;
    let mut stream = PassthroughStream::new("fa\"st", Restorer::default());
    let mut out = bytes::BytesMut::new();
    for event in [start, delta] {
        stream.event(event.as_bytes(), &mut out).unwrap();
    }
    let renamed = start.replace("\"claude-sonnet-4-5-20250929\"", r#""fa\"st""#);
    assert_eq!(
        std::str::from_utf8(&out).unwrap(),
        format!(
            "event: message_start\ndata: {renamed}\n\nevent: content_block_delta\ndata: {delta}\n\n"
        )
    );
    let whole = r#"{"id":"msg_1", "model" : "claude-sonnet-4-5-20250929","content":[]}"#;
    assert_eq!(
        String::from_utf8(with_client_model(whole.as_bytes(), "fast")).unwrap(),
        whole.replace("claude-sonnet-4-5-20250929", "fast")
    );
}

#[test]
fn guardrail_of_the_body_is_for_headers_of_invoke_model() {
    let native = on(
        SONNET,
        &json!({"guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"}}).to_string(),
        &[],
        Endpoint::InvokeModel,
    )
    .unwrap();
    let guardrail = native.guardrail.unwrap();
    assert_eq!(guardrail.guardrail.identifier, "g");
    assert_eq!(guardrail.trace.as_deref(), Some("enabled"));
    assert_eq!(
        native.body,
        br#"{"anthropic_version":"bedrock-2023-05-31"}"#
    );
    for (config, endpoint, param) in [
        (
            json!({"guardrailIdentifier": "g"}),
            Endpoint::InvokeModel,
            "guardrailConfig.guardrailVersion",
        ),
        (
            json!({"guardrailVersion": "1"}),
            Endpoint::InvokeModel,
            "guardrailConfig.guardrailIdentifier",
        ),
        (
            json!({"guardrailIdentifier": "g", "guardrailVersion": "1"}),
            Endpoint::Anthropic { model: "m" },
            "guardrailConfig",
        ),
    ] {
        let body = json!({"guardrailConfig": config}).to_string();
        let error = on(SONNET, &body, &[], endpoint).unwrap_err();
        assert_eq!(error.param.as_deref(), Some(param));
    }
}
