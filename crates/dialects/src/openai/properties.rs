//! Properties of the translation, over inputs nobody thought of. `PROPTEST_CASES` sets how many.

use std::sync::Arc;

use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    DecodeOptions, ReplyContext, StreamEncoder, decode, decode_embeddings,
    golden::{identity, inputs, with_decoded},
    head,
};
use crate::families::{FamilyTable, ModelCapabilities};

const MODELS: [&str; 8] = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-4-7",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "amazon.titan-text-express-v1",
    "us.writer.palmyra-x5-v1:0",
    "acme.brand-new-v1:0",
];

fn any_facts() -> impl Strategy<Value = Arc<ModelCapabilities>> {
    prop::sample::select(&MODELS[..]).prop_map(|id| FamilyTable::builtin().resolve(id, None))
}

/// Any JSON, shallow.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(
            &[
                "",
                " ",
                "auto",
                "function",
                "text",
                "user",
                "data:image/png;base64,AAAA"
            ][..]
        )
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((any_key(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(&[
            "type", "text", "role", "content", "tool_calls", "tool_call_id", "function", "name",
            "arguments", "parameters", "id", "image_url", "url", "cache_control", "thinking_blocks",
            "signature", "file", "file_data", "input_audio", "schema", "json_schema",
        ][..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

fn any_field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&[
            "messages", "tools", "tool_choice", "stop", "temperature", "top_p", "max_tokens",
            "response_format", "reasoning_effort", "thinking", "metadata", "user", "stream",
            "stream_options", "extra_body", "guardrailConfig", "service_tier", "cache_control", "n",
        ][..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

/// A conversation that makes some sense: texts, calls and results in any order.
fn any_message() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just(String::new()), Just(" \n".to_owned()), "\\PC{1,12}"];
    let id = prop::sample::select(&["a", "b", "call 1", "functions.f:0"][..]);
    let name = prop::sample::select(&["f", "mcp.read", "mcp_read", "ü"][..]);
    prop_oneof![
        (prop::sample::select(&["system", "developer", "user", "assistant"][..]), text.clone())
            .prop_map(|(role, text)| json!({"role": role, "content": text})),
        (text.clone(), prop::collection::vec((id.clone(), name), 1..3)).prop_map(|(text, calls)| {
            let calls: Vec<Value> = calls
                .into_iter()
                .map(|(id, name)| {
                    json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}})
                })
                .collect();
            json!({"role": "assistant", "content": text, "tool_calls": calls})
        }),
        (id, text).prop_map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text})),
    ]
}

/// Bedrock's own rules for a conversation, as far as they need no model.
pub(crate) fn check_conversation(request: &Value, capabilities: &ModelCapabilities) {
    let messages = request["messages"].as_array().unwrap();
    assert!(!messages.is_empty());
    let mut expected: Vec<String> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        if index > 0 {
            assert_ne!(
                message["role"],
                messages[index - 1]["role"],
                "roles alternate"
            );
        }
        let content = message["content"].as_array().unwrap();
        assert!(!content.is_empty(), "no empty message");
        for block in content {
            if let Some(text) = block["text"].as_str() {
                assert!(!text.trim().is_empty(), "no blank text");
            }
        }
        let ids = |kind: &str| -> Vec<String> {
            let found = content
                .iter()
                .filter_map(|block| block[kind]["toolUseId"].as_str());
            found.map(str::to_owned).collect()
        };
        let mut results = ids("toolResult");
        results.sort();
        expected.sort();
        assert_eq!(
            results, expected,
            "each call has one result in the next message"
        );
        expected = ids("toolUse");
        for id in &expected {
            assert!(!seen.contains(id), "{id} twice");
            seen.push(id.clone());
        }
    }
    assert!(expected.is_empty(), "no call is left without a result");
    if capabilities.first_message == crate::families::FirstMessage::User {
        assert_eq!(messages[0]["role"], "user");
    }
    if !seen.is_empty() && capabilities.tools.supported {
        assert!(
            request["toolConfig"]["tools"].is_array(),
            "tools of the history are declared"
        );
    }
}

proptest! {
    #[test]
    fn hostile_bodies_never_panic(
        fields in prop::collection::vec((any_field(), any_json()), 0..5),
        messages in prop::option::of(prop::collection::vec(any_message(), 0..4)),
        capabilities in any_facts(),
        strict in any::<bool>(),
    ) {
        let mut body: serde_json::Map<String, Value> = fields.into_iter().collect();
        if let Some(messages) = messages {
            body.insert("messages".to_owned(), Value::Array(messages));
        }
        let body = Value::Object(body).to_string();
        let mut options = DecodeOptions::new(&capabilities);
        options.strict = strict;
        if let Ok(decoded) = decode(body.as_bytes(), &options) {
            prop_assert!(serde_json::to_vec(&decoded.request).is_ok());
        }
        let _ = decode_embeddings(body.as_bytes(), &capabilities, strict);
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), capabilities in any_facts()) {
        let _ = head(&bytes);
        let _ = decode(&bytes, &DecodeOptions::new(&capabilities));
        for kind in ["contentBlockStart", "contentBlockDelta", "messageStop", "metadata"] {
            let _ = StreamEvent::from_frame_parts(kind, &bytes);
        }
    }

    #[test]
    fn every_conversation_follows_bedrocks_rules_or_is_refused(
        messages in prop::collection::vec(any_message(), 1..10),
        capabilities in any_facts(),
    ) {
        let body = json!({"model": "m", "messages": messages}).to_string();
        if let Ok(decoded) = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)) {
            check_conversation(&serde_json::to_value(&decoded.request).unwrap(), &capabilities);
        }
    }

    #[test]
    fn equal_requests_give_equal_bytes(
        messages in prop::collection::vec(any_message(), 1..6),
        schema in any_json(),
        capabilities in any_facts(),
    ) {
        let tools = json!([{"type": "function", "function": {"name": "mcp.read", "parameters": {"type": "object", "properties": {"x": schema}}}}]);
        let body = json!({"model": "m", "messages": messages, "tools": tools, "metadata": {"b": "1", "a": "2"}}).to_string();
        let once = |body: &str| {
            decode(body.as_bytes(), &DecodeOptions::new(&capabilities))
                .map(|decoded| serde_json::to_vec(&decoded.request).unwrap())
        };
        let (first, second) = (once(&body), once(&body));
        prop_assert_eq!(&first, &second);
    }

    #[test]
    fn schemas_and_arguments_keep_every_byte(schema in any_json(), arguments in any_json()) {
        let schema = json!({"type": "object", "z": schema, "a": 1}).to_string();
        let arguments = json!({"z": arguments, "a": 1}).to_string();
        let body = json!({
            "model": "m",
            "messages": [
                {"role": "user", "content": "x"},
                {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": &arguments}}]},
                {"role": "tool", "tool_call_id": "c", "content": "ok"},
            ],
            "tools": [{"type": "function", "function": {"name": "f", "parameters": "SCHEMA"}}],
        })
        .to_string()
        .replace("\"SCHEMA\"", &schema);
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let decoded = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap();
        let upstream = serde_json::to_string(&decoded.request).unwrap();
        prop_assert!(upstream.contains(&format!("\"json\":{schema}")), "{}", upstream);
        prop_assert!(upstream.contains(&format!("\"input\":{arguments}")), "{}", upstream);
    }

    #[test]
    fn signed_reasoning_survives_the_round_bit_for_bit(
        text in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        signature in "[A-Za-z0-9+/]{1,60}={0,2}",
        redacted in "[A-Za-z0-9+/]{1,60}={0,2}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        // Out: streamed in pieces, gathered from the chunks as a client would.
        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(text.chars().count() + 1)).collect();
        edges.sort_unstable();
        let chars: Vec<char> = text.chars().collect();
        let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity());
        let mut out = BytesMut::new();
        let mut send = |kind: &str, payload: &Value| {
            let payload = payload.to_string();
            let event = StreamEvent::from_frame_parts(kind, payload.as_bytes()).unwrap();
            encoder.event(&event, &mut out).unwrap();
        };
        let mut from = 0;
        for to in edges.into_iter().chain([chars.len()]) {
            let piece: String = chars[from..to].iter().collect();
            send("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": piece}}}));
            from = to;
        }
        send("contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"reasoningContent": {"signature": &signature}}}));
        send("contentBlockStop", &json!({"contentBlockIndex": 0}));
        send("contentBlockDelta", &json!({"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": &redacted}}}));
        send("contentBlockStop", &json!({"contentBlockIndex": 1}));
        let sse = String::from_utf8(out.to_vec()).unwrap();
        let mut blocks = Vec::new();
        for data in sse.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()) {
            let chunk: Value = serde_json::from_str(data).unwrap();
            let found = chunk.pointer("/choices/0/delta/thinking_blocks").and_then(Value::as_array);
            blocks.extend(found.cloned().unwrap_or_default());
        }
        // Back: replayed in the next turn.
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y", "thinking_blocks": blocks},
            {"role": "user", "content": "z"},
        ]}).to_string();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let decoded = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap();
        let request = serde_json::to_value(&decoded.request).unwrap();
        let content = &request["messages"][1]["content"];
        prop_assert_eq!(&content[0]["reasoningContent"]["reasoningText"]["text"], &Value::from(text));
        prop_assert_eq!(&content[0]["reasoningContent"]["reasoningText"]["signature"], &Value::from(signature));
        prop_assert_eq!(&content[1]["reasoningContent"]["redactedContent"], &Value::from(redacted));
    }

    #[test]
    fn any_grouping_of_events_gives_the_same_stream(
        case in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<bool>(), 64),
    ) {
        let paths = inputs("openai/streams", "jsonl");
        let text = std::fs::read_to_string(&paths[case.index(paths.len())]).unwrap();
        let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut reply = ReplyContext::default();
        if let Some(request) = lines[0].get("request").cloned() {
            lines.remove(0);
            reply = with_decoded(request, |decoded| decoded.unwrap().reply);
        }
        let run = |cuts: &[bool]| {
            let mut encoder = StreamEncoder::new(reply.clone(), &identity());
            let mut all = Vec::new();
            let mut out = BytesMut::new();
            for (line, cut) in lines.iter().zip(cuts.iter().cycle()) {
                let (kind, payload) = line.as_object().unwrap().iter().next().unwrap();
                let payload = payload.to_string();
                let event = StreamEvent::from_frame_parts(kind, payload.as_bytes()).unwrap();
                let _ = encoder.event(&event, &mut out);
                // Whether the buffer is sent off now or grows on must not matter.
                if *cut {
                    all.extend_from_slice(&out.split());
                }
            }
            encoder.finish(&mut out);
            all.extend_from_slice(&out);
            all
        };
        prop_assert_eq!(run(&[false]), run(&cuts));
    }

    #[test]
    fn text_streams_out_as_it_came_in(pieces in prop::collection::vec("\\PC{0,10}[\\n\"\\\\\u{2028}]{0,2}", 0..8)) {
        let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity());
        let mut out = BytesMut::new();
        for piece in &pieces {
            let payload = json!({"contentBlockIndex": 0, "delta": {"text": piece}, "p": "x"}).to_string();
            let event = StreamEvent::from_frame_parts("contentBlockDelta", payload.as_bytes()).unwrap();
            encoder.event(&event, &mut out).unwrap();
        }
        let sse = String::from_utf8(out.to_vec()).unwrap();
        let mut text = String::new();
        for data in sse.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()) {
            prop_assert!(!data.contains('\n'));
            let chunk: Value = serde_json::from_str(data).unwrap();
            text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap());
        }
        prop_assert_eq!(text, pieces.concat());
    }
}
