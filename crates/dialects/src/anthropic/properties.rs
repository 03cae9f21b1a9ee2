//! Properties of the translation, over inputs nobody thought of. `PROPTEST_CASES` sets how many.

use std::sync::Arc;

use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    Door, PassthroughStream, ReplyContext, StreamEncoder, count_by_converse, count_natively,
    decode,
    golden::{events, identity, inputs},
    passthrough,
};
use crate::{
    families::{FamilyTable, ModelCapabilities},
    translation::DecodeOptions,
};

const MODELS: [&str; 7] = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.anthropic.claude-opus-4-7",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "amazon.titan-text-express-v1",
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
                "text",
                "user",
                "assistant",
                "image",
                "base64",
                "tool_use",
                "tool_result",
                "thinking",
                "document",
                "ephemeral",
                "enabled"
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
        4 => prop::sample::select(&[
            "type", "text", "role", "content", "source", "data", "media_type", "id", "name", "input",
            "tool_use_id", "is_error", "cache_control", "ttl", "thinking", "signature", "citations",
            "title", "input_schema", "strict",
        ][..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

fn any_field() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(&[
            "messages", "system", "tools", "tool_choice", "stop_sequences", "temperature", "top_k",
            "max_tokens", "thinking", "output_config", "metadata", "stream", "service_tier",
            "cache_control", "anthropic_beta", "container", "mcp_servers", "output_format",
        ][..]).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

/// A message that makes some sense: texts, calls and results in any order.
fn any_message() -> impl Strategy<Value = Value> {
    let text = prop_oneof![Just(String::new()), Just(" \n".to_owned()), "\\PC{1,12}"];
    let id = prop::sample::select(&["a", "b", "call 1", "functions.f:0"][..]);
    let name = prop::sample::select(&["f", "mcp.read", "mcp_read", "ü"][..]);
    let block = prop_oneof![
        text.clone()
            .prop_map(|text| json!({"type": "text", "text": text})),
        (id.clone(), name).prop_map(
            |(id, name)| json!({"type": "tool_use", "id": id, "name": name, "input": {}})
        ),
        (id, text.clone()).prop_map(
            |(id, text)| json!({"type": "tool_result", "tool_use_id": id, "content": text})
        ),
        Just(json!({"type": "thinking", "thinking": "t", "signature": "s"})),
    ];
    let role = prop::sample::select(&["user", "assistant"][..]);
    prop_oneof![
        (role.clone(), text).prop_map(|(role, text)| json!({"role": role, "content": text})),
        (role, prop::collection::vec(block, 0..4)).prop_map(|(role, blocks)| {
            // Each role has blocks of its own.
            let fits = |block: &Value| match block["type"].as_str() {
                Some("tool_result") => role == "user",
                Some("tool_use" | "thinking") => role == "assistant",
                _ => true,
            };
            let blocks: Vec<Value> = blocks.into_iter().filter(fits).collect();
            json!({"role": role, "content": blocks})
        }),
    ]
}

/// Bedrock's own rules for a conversation, as far as they need no model.
fn check_conversation(request: &Value) {
    let messages = request["messages"].as_array().unwrap();
    assert!(!messages.is_empty());
    let mut expected: Vec<String> = Vec::new();
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
        let ids = |kind: &str| -> Vec<String> {
            let found = content
                .iter()
                .filter_map(|block| block[kind]["toolUseId"].as_str());
            found.map(str::to_owned).collect()
        };
        for block in content {
            if let Some(text) = block["text"].as_str() {
                assert!(!text.trim().is_empty(), "no blank text");
            }
        }
        let mut results = ids("toolResult");
        results.sort();
        expected.sort();
        assert_eq!(
            results, expected,
            "each call has one result in the next message"
        );
        expected = ids("toolUse");
    }
    assert!(expected.is_empty(), "no call is left without a result");
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
        body.entry("max_tokens").or_insert(json!(9));
        if let Some(messages) = messages {
            body.insert("messages".to_owned(), Value::Array(messages));
        }
        let body = Value::Object(body).to_string();
        let mut options = DecodeOptions::new(&capabilities);
        options.strict = strict;
        if let Ok(decoded) = decode(body.as_bytes(), &["x"], &options) {
            prop_assert!(serde_json::to_vec(&decoded.request).is_ok());
        }
        if let Ok(native) = passthrough(body.as_bytes(), &["x"], Door::Invoke, &options) {
            let read: Result<Value, _> = serde_json::from_slice(&native.body);
            prop_assert!(read.is_ok(), "{}", String::from_utf8_lossy(&native.body));
        }
        for count in [count_by_converse, count_natively] {
            if let Ok((body, _)) = count(body.as_bytes(), &[], &options) {
                let read: Result<Value, _> = serde_json::from_slice(&body);
                prop_assert!(read.is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), capabilities in any_facts()) {
        let options = DecodeOptions::new(&capabilities);
        let _ = decode(&bytes, &[], &options);
        let _ = passthrough(&bytes, &[], Door::Invoke, &options);
        let mut stream = PassthroughStream::default();
        let mut out = BytesMut::new();
        let _ = stream.chunk(&bytes, &mut out);
        let _ = stream.event(&bytes, &mut out);
        stream.finish(&mut out);
    }

    #[test]
    fn a_native_body_keeps_every_member_it_does_not_have_to_lose(
        members in prop::collection::vec(("[a-z]{1,3}", any_json()), 0..6),
        signed in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        indent in any::<bool>(),
    ) {
        let mut body: serde_json::Map<String, Value> = members.into_iter().map(|(key, value)| (format!("x_{key}"), value)).collect();
        body.insert("model".to_owned(), json!("m"));
        body.insert("messages".to_owned(), json!([
            {"role": "assistant", "content": [{"type": "thinking", "thinking": &signed, "signature": "EqRk+/=="}]},
        ]));
        body.insert("stream".to_owned(), json!(true));
        let text = if indent { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let native = passthrough(text.as_bytes(), &[], Door::Invoke, &DecodeOptions::new(&capabilities)).unwrap();
        let upstream = String::from_utf8(native.body).unwrap();
        // The same text but for one member more at the beginning and two less.
        let rest = upstream.replacen("\"anthropic_version\":\"bedrock-2023-05-31\",", "", 1);
        let spaces = |text: &str| text.replace([' ', '\n'], "");
        let expected = spaces(&text).replacen("\"model\":\"m\",", "", 1).replacen(",\"stream\":true", "", 1);
        prop_assert_eq!(spaces(&rest), expected);
        let thinking = format!("\"thinking\":{}{}", if indent { " " } else { "" }, Value::from(signed.as_str()));
        prop_assert!(upstream.contains(&thinking));
    }

    #[test]
    fn every_conversation_follows_bedrocks_rules_or_is_refused(
        messages in prop::collection::vec(any_message(), 1..10),
        capabilities in any_facts(),
    ) {
        let body = json!({"model": "m", "max_tokens": 9, "messages": messages}).to_string();
        if let Ok(decoded) = decode(body.as_bytes(), &[], &DecodeOptions::new(&capabilities)) {
            check_conversation(&serde_json::to_value(&decoded.request).unwrap());
        }
    }

    #[test]
    fn equal_requests_give_equal_bytes_and_schemas_and_arguments_keep_theirs(
        messages in prop::collection::vec(any_message(), 1..6),
        schema in any_json(),
        input in any_json(),
        capabilities in any_facts(),
    ) {
        let schema = json!({"type": "object", "z": schema, "a": 1}).to_string();
        let input = json!({"z": input, "a": 1}).to_string();
        let mut all = vec![
            json!({"role": "user", "content": "x"}),
            json!({"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": "INPUT"}]}),
            json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}),
        ];
        all.extend(messages);
        let tools = json!([{"name": "mcp.read", "input_schema": "SCHEMA"}]);
        let body = json!({"model": "m", "max_tokens": 9, "messages": all, "tools": tools, "metadata": {"user_id": "1"}}).to_string();
        let body = body.replace("\"SCHEMA\"", &schema).replace("\"INPUT\"", &input);
        let once = |body: &str| {
            decode(body.as_bytes(), &[], &DecodeOptions::new(&capabilities))
                .map(|decoded| serde_json::to_string(&decoded.request).unwrap())
        };
        let first = once(&body);
        prop_assert_eq!(&first, &once(&body));
        if let Ok(upstream) = first {
            let has_schema = upstream.contains(&format!("\"json\":{schema}"));
            let has_input = upstream.contains(&format!("\"input\":{input}"));
            prop_assert!(has_schema && has_input, "{}", upstream);
        }
    }

    #[test]
    fn any_grouping_of_events_gives_the_same_stream(
        case in any::<prop::sample::Index>(),
        cuts in prop::collection::vec(any::<bool>(), 64),
    ) {
        let paths = inputs("streams", "jsonl");
        let (reply, lines) = events(&paths[case.index(paths.len())]);
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
    fn signed_thinking_survives_the_round_bit_for_bit(
        text in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        signature in "[A-Za-z0-9+/]{1,60}={0,2}",
        redacted in "[A-Za-z0-9+/]{1,60}={0,2}",
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
    ) {
        // Out: streamed in pieces, gathered from the events as a client would.
        let chars: Vec<char> = text.chars().collect();
        let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(chars.len() + 1)).collect();
        edges.sort_unstable();
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
        let mut blocks: Vec<Value> = Vec::new();
        for event in sse.split_terminator("\n\n") {
            let data: Value = serde_json::from_str(event.split_once("\ndata: ").unwrap().1).unwrap();
            match data["type"].as_str().unwrap() {
                "content_block_start" => {
                    prop_assert_eq!(data["index"].as_u64(), Some(u64::try_from(blocks.len()).unwrap()));
                    blocks.push(data["content_block"].clone());
                }
                "content_block_delta" => {
                    let block = blocks.last_mut().unwrap();
                    for member in ["thinking", "signature"] {
                        if let Some(piece) = data["delta"][member].as_str() {
                            let all = format!("{}{piece}", block[member].as_str().unwrap());
                            block[member] = Value::from(all);
                        }
                    }
                }
                _ => {}
            }
        }
        // Back: replayed in the next turn.
        blocks.push(json!({"type": "text", "text": "y"}));
        let body = json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": "z"},
        ]}).to_string();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let decoded = decode(body.as_bytes(), &[], &DecodeOptions::new(&capabilities)).unwrap();
        let request = serde_json::to_value(&decoded.request).unwrap();
        let content = &request["messages"][1]["content"];
        prop_assert_eq!(&content[0]["reasoningContent"]["reasoningText"]["text"], &Value::from(text));
        prop_assert_eq!(&content[0]["reasoningContent"]["reasoningText"]["signature"], &Value::from(signature));
        prop_assert_eq!(&content[1]["reasoningContent"]["redactedContent"], &Value::from(redacted));
    }
}
