//! Properties of translating Chat Completions, over generated inputs. `PROPTEST_CASES` sets their number.

use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{
    DecodeOptions, ReplyContext, StreamEncoder, decode, decode_embeddings,
    golden::{ChatCompletions, identity},
    head,
};
use crate::{
    families::FamilyTable,
    test_support::{
        prefix::{self, Growing, any_growing, check_prefixes},
        properties::{
            any_capabilities, any_json, any_text, any_tool_name, any_word, check_conversation,
            check_grouping, check_replayed, pieces, stream_reasoning,
        },
    },
};

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
const WORDS: [&str; 7] = [
    "",
    " ",
    "auto",
    "function",
    "text",
    "user",
    "data:image/png;base64,AAAA",
];
const KEYS: [&str; 21] = [
    "type",
    "text",
    "role",
    "content",
    "tool_calls",
    "tool_call_id",
    "function",
    "name",
    "arguments",
    "parameters",
    "id",
    "image_url",
    "url",
    "cache_control",
    "thinking_blocks",
    "signature",
    "file",
    "file_data",
    "input_audio",
    "schema",
    "json_schema",
];
const FIELDS: [&str; 19] = [
    "messages",
    "tools",
    "tool_choice",
    "stop",
    "temperature",
    "top_p",
    "max_tokens",
    "response_format",
    "reasoning_effort",
    "thinking",
    "metadata",
    "user",
    "stream",
    "stream_options",
    "extra_body",
    "guardrailConfig",
    "service_tier",
    "cache_control",
    "n",
];

fn any_value() -> impl Strategy<Value = Value> {
    any_json(&WORDS, any_word(3, &KEYS))
}

/// A plausible message: text, calls or a result.
fn any_message() -> impl Strategy<Value = Value> {
    let id = prop::sample::select(&["a", "b", "call 1", "functions.f:0"][..]);
    prop_oneof![
        (prop::sample::select(&["system", "developer", "user", "assistant"][..]), any_text())
            .prop_map(|(role, text)| json!({"role": role, "content": text})),
        (any_text(), prop::collection::vec((id.clone(), any_tool_name()), 1..3)).prop_map(|(text, calls)| {
            let calls: Vec<Value> = calls
                .into_iter()
                .map(|(id, name)| {
                    json!({"id": id, "type": "function", "function": {"name": name, "arguments": "{}"}})
                })
                .collect();
            json!({"role": "assistant", "content": text, "tool_calls": calls})
        }),
        (id, any_text()).prop_map(|(id, text)| json!({"role": "tool", "tool_call_id": id, "content": text})),
    ]
}

proptest! {
    #[test]
    fn hostile_bodies_never_panic(
        fields in prop::collection::vec((any_word(4, &FIELDS), any_value()), 0..5),
        messages in prop::option::of(prop::collection::vec(any_message(), 0..4)),
        capabilities in any_capabilities(&MODELS),
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
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), capabilities in any_capabilities(&MODELS)) {
        let _ = head(&bytes);
        let _ = decode(&bytes, &DecodeOptions::new(&capabilities));
        for kind in ["contentBlockStart", "contentBlockDelta", "messageStop", "metadata"] {
            let _ = StreamEvent::from_frame_parts(kind, &bytes);
        }
    }

    #[test]
    fn every_conversation_follows_bedrocks_rules_or_is_rejected(
        messages in prop::collection::vec(any_message(), 1..10),
        capabilities in any_capabilities(&MODELS),
    ) {
        let body = json!({"model": "m", "messages": messages}).to_string();
        if let Ok(decoded) = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)) {
            check_conversation(&serde_json::to_value(&decoded.request).unwrap(), &capabilities);
        }
    }

    #[test]
    fn equal_requests_give_equal_bytes(
        messages in prop::collection::vec(any_message(), 1..6),
        schema in any_value(),
        capabilities in any_capabilities(&MODELS),
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
    fn schemas_and_arguments_are_unchanged(schema in any_value(), arguments in any_value()) {
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
    fn signed_reasoning_round_trips_bit_for_bit(
        text in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        signature in "[A-Za-z0-9+/]{1,60}={0,2}",
        redacted in "[A-Za-z0-9+/]{1,60}={0,2}",
        cuts in prop::collection::vec(any::<Index>(), 0..5),
    ) {
        // A client collects the blocks from the chunks …
        let sse = stream_reasoning::<ChatCompletions>(
            ReplyContext::default(), &pieces(&text, &cuts), &signature, &redacted,
        );
        let mut blocks = Vec::new();
        for data in sse.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap()) {
            let chunk: Value = serde_json::from_str(data).unwrap();
            let found = chunk.pointer("/choices/0/delta/thinking_blocks").and_then(Value::as_array);
            blocks.extend(found.cloned().unwrap_or_default());
        }
        // … and replays them in the next turn.
        let body = json!({"model": "m", "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y", "thinking_blocks": blocks},
            {"role": "user", "content": "z"},
        ]}).to_string();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let decoded = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap();
        check_replayed(&serde_json::to_value(&decoded.request).unwrap(), &text, &signature, &redacted);
    }

    #[test]
    fn any_grouping_of_events_gives_the_same_stream(
        case in any::<Index>(),
        cuts in prop::collection::vec(any::<bool>(), 64),
    ) {
        check_grouping::<ChatCompletions>(case, &cuts);
    }

    #[test]
    fn streamed_text_is_unchanged(pieces in prop::collection::vec("\\PC{0,10}[\\n\"\\\\\u{2028}]{0,2}", 0..8)) {
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

proptest! {
    #![proptest_config(prefix::config())]

    /// Chat Completions to Converse.
    #[test]
    fn the_start_of_a_growing_conversation_keeps_its_bytes(
        growing in any_growing(),
        capabilities in any_capabilities(&MODELS),
    ) {
        let mut options = DecodeOptions::new(&capabilities);
        options.automatic_cache = growing.automatic;
        let requests = growing.requests(Growing::chat);
        let sent = requests.iter().map(|body| {
            let decoded = decode(body.as_bytes(), &options).ok()?;
            Some(serde_json::to_string(&decoded.request).unwrap())
        });
        check_prefixes(&sent.collect::<Vec<_>>());
    }
}
