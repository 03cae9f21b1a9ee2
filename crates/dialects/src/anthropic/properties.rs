//! Properties of translating Messages, over generated inputs. `PROPTEST_CASES` sets their number.

use bytes::BytesMut;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{
    Endpoint, PassthroughStream, ReplyContext, count_by_converse, count_passthrough, decode,
    golden::Messages, passthrough,
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
const WORDS: [&str; 14] = [
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
    "enabled",
];
const KEYS: [&str; 20] = [
    "type",
    "text",
    "role",
    "content",
    "source",
    "data",
    "media_type",
    "id",
    "name",
    "input",
    "tool_use_id",
    "is_error",
    "cache_control",
    "ttl",
    "thinking",
    "signature",
    "citations",
    "title",
    "input_schema",
    "strict",
];
const FIELDS: [&str; 18] = [
    "messages",
    "system",
    "tools",
    "tool_choice",
    "stop_sequences",
    "temperature",
    "top_k",
    "max_tokens",
    "thinking",
    "output_config",
    "metadata",
    "stream",
    "service_tier",
    "cache_control",
    "anthropic_beta",
    "container",
    "mcp_servers",
    "output_format",
];

fn any_value() -> impl Strategy<Value = Value> {
    any_json(&WORDS, any_word(4, &KEYS))
}

/// A plausible message: text, calls and results in any order.
fn any_message() -> impl Strategy<Value = Value> {
    let id = prop::sample::select(&["a", "b", "call 1", "functions.f:0"][..]);
    let block = prop_oneof![
        any_text().prop_map(|text| json!({"type": "text", "text": text})),
        (id.clone(), any_tool_name()).prop_map(
            |(id, name)| json!({"type": "tool_use", "id": id, "name": name, "input": {}})
        ),
        (id, any_text()).prop_map(
            |(id, text)| json!({"type": "tool_result", "tool_use_id": id, "content": text})
        ),
        Just(json!({"type": "thinking", "thinking": "t", "signature": "s"})),
    ];
    let role = prop::sample::select(&["user", "assistant"][..]);
    prop_oneof![
        (role.clone(), any_text()).prop_map(|(role, text)| json!({"role": role, "content": text})),
        (role, prop::collection::vec(block, 0..4)).prop_map(|(role, blocks)| {
            // Keep the blocks that the role supports.
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

proptest! {
    #[test]
    fn hostile_bodies_never_panic(
        fields in prop::collection::vec((any_word(4, &FIELDS), any_value()), 0..5),
        messages in prop::option::of(prop::collection::vec(any_message(), 0..4)),
        capabilities in any_capabilities(&MODELS),
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
        if let Ok(native) = passthrough(body.as_bytes(), &["x"], Endpoint::InvokeModel, &options) {
            let read: Result<Value, _> = serde_json::from_slice(&native.body);
            prop_assert!(read.is_ok(), "{}", String::from_utf8_lossy(&native.body));
        }
        for count in [count_by_converse, count_passthrough] {
            if let Ok((body, _)) = count(body.as_bytes(), &[], &options) {
                let read: Result<Value, _> = serde_json::from_slice(&body);
                prop_assert!(read.is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), capabilities in any_capabilities(&MODELS)) {
        let options = DecodeOptions::new(&capabilities);
        let _ = decode(&bytes, &[], &options);
        let _ = passthrough(&bytes, &[], Endpoint::InvokeModel, &options);
        let mut stream = PassthroughStream::default();
        let mut out = BytesMut::new();
        let _ = stream.chunk(&bytes, &mut out);
        let _ = stream.event(&bytes, &mut out);
        stream.finish(&mut out);
    }

    #[test]
    fn passthrough_body_keeps_every_supported_member(
        members in prop::collection::vec(("[a-z]{1,3}", any_value()), 0..6),
        signed in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        indent in any::<bool>(),
    ) {
        let mut body: serde_json::Map<String, Value> = members.into_iter().map(|(key, value)| (format!("x_{key}"), value)).collect();
        // Members with null are left out.
        body.retain(|_, value| !value.is_null());
        body.insert("model".to_owned(), json!("m"));
        body.insert("messages".to_owned(), json!([
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": &signed, "signature": "EqRk+/=="},
                {"type": "text", "text": "a"},
            ]},
        ]));
        body.insert("stream".to_owned(), json!(true));
        let text = if indent { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let native = passthrough(text.as_bytes(), &[], Endpoint::InvokeModel, &DecodeOptions::new(&capabilities)).unwrap();
        let upstream = String::from_utf8(native.body).unwrap();
        // The same text with one member added at the start and two removed.
        let rest = upstream.replacen("\"anthropic_version\":\"bedrock-2023-05-31\",", "", 1);
        let spaces = |text: &str| text.replace([' ', '\n'], "");
        let expected = spaces(&text).replacen("\"model\":\"m\",", "", 1).replacen(",\"stream\":true", "", 1);
        prop_assert_eq!(spaces(&rest), expected);
        let thinking = format!("\"thinking\":{}{}", if indent { " " } else { "" }, Value::from(signed.as_str()));
        prop_assert!(upstream.contains(&thinking));
    }

    #[test]
    fn every_conversation_follows_bedrocks_rules_or_is_rejected(
        messages in prop::collection::vec(any_message(), 1..10),
        capabilities in any_capabilities(&MODELS),
    ) {
        let body = json!({"model": "m", "max_tokens": 9, "messages": messages}).to_string();
        if let Ok(decoded) = decode(body.as_bytes(), &[], &DecodeOptions::new(&capabilities)) {
            check_conversation(&serde_json::to_value(&decoded.request).unwrap(), &capabilities);
        }
    }

    #[test]
    fn equal_requests_give_equal_bytes_and_raw_json_is_unchanged(
        messages in prop::collection::vec(any_message(), 1..6),
        schema in any_value(),
        input in any_value(),
        capabilities in any_capabilities(&MODELS),
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
        case in any::<Index>(),
        cuts in prop::collection::vec(any::<bool>(), 64),
    ) {
        check_grouping::<Messages>(case, &cuts);
    }

    #[test]
    fn signed_thinking_round_trips_bit_for_bit(
        text in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        signature in "[A-Za-z0-9+/]{1,60}={0,2}",
        redacted in "[A-Za-z0-9+/]{1,60}={0,2}",
        cuts in prop::collection::vec(any::<Index>(), 0..5),
    ) {
        // A client collects the blocks from the events …
        let sse = stream_reasoning::<Messages>(
            ReplyContext::default(), &pieces(&text, &cuts), &signature, &redacted,
        );
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
        // … and replays them in the next turn.
        blocks.push(json!({"type": "text", "text": "y"}));
        let body = json!({"model": "m", "max_tokens": 9, "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": blocks},
            {"role": "user", "content": "z"},
        ]}).to_string();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let decoded = decode(body.as_bytes(), &[], &DecodeOptions::new(&capabilities)).unwrap();
        check_replayed(&serde_json::to_value(&decoded.request).unwrap(), &text, &signature, &redacted);
    }
}

const CLAUDE: [&str; 4] = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "anthropic.claude-3-haiku-20240307-v1:0",
    "us.anthropic.claude-opus-4-8",
    "us.anthropic.claude-sonnet-5",
];

proptest! {
    #![proptest_config(prefix::config())]

    #[test]
    fn the_start_of_a_growing_conversation_keeps_its_bytes_by_converse(
        growing in any_growing(),
        capabilities in any_capabilities(&MODELS),
    ) {
        let mut options = DecodeOptions::new(&capabilities);
        options.automatic_cache = growing.automatic;
        let requests = growing.requests(Growing::messages);
        let sent = requests.iter().map(|body| {
            let decoded = decode(body.as_bytes(), &[], &options).ok()?;
            Some(serde_json::to_string(&decoded.request).unwrap())
        });
        check_prefixes(&sent.collect::<Vec<_>>());
    }

    #[test]
    fn the_start_of_a_growing_conversation_keeps_its_bytes_by_passthrough(
        growing in any_growing(),
        capabilities in any_capabilities(&CLAUDE),
        on_mantle in any::<bool>(),
    ) {
        let options = DecodeOptions::new(&capabilities);
        let endpoint = if on_mantle { Endpoint::Anthropic { model: "m" } } else { Endpoint::InvokeModel };
        let requests = growing.requests(Growing::messages);
        let sent = requests.iter().map(|body| {
            let sent = passthrough(body.as_bytes(), &[], endpoint, &options).ok()?;
            Some(String::from_utf8(sent.body).unwrap())
        });
        check_prefixes(&sent.collect::<Vec<_>>());
    }
}
