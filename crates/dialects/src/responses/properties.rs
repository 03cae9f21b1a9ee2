//! Properties of translating Responses, over generated inputs. `PROPTEST_CASES` sets their number.

use bytes::BytesMut;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{
    ReplyContext, StreamEncoder, adapt, carrier, checker, decode,
    golden::{Responses, identity},
};
use crate::{
    families::FamilyTable,
    test_support::{
        self, Dialect as _,
        prefix::{self, any_growing, check_prefixes},
        properties::{any_text, any_tool_name, check_conversation, check_grouping, pieces},
    },
    translation::DecodeOptions,
};

const MODELS: [&str; 6] = [
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "us.amazon.nova-2-lite-v1:0",
    "us.meta.llama3-3-70b-instruct-v1:0",
    "mistral.mistral-large-2407-v1:0",
    "moonshot.kimi-k2-thinking",
    "acme.brand-new-v1:0",
];

/// An event of Converse about any block, at any position of a stream.
fn any_event() -> impl Strategy<Value = (&'static str, Value)> {
    let block = 0..4_u64;
    let text = prop_oneof![Just(String::new()), "\\PC{1,6}[\"\\\\\n\u{2028}]{0,2}"];
    let tool = prop::sample::select(&["plain", "free", "structured_answer", "other"][..]);
    prop_oneof![
        1 => Just(("messageStart", json!({"role": "assistant"}))),
        2 => (block.clone(), tool, any::<bool>()).prop_map(|(block, name, server)| {
            let kind = if server { "server_tool_use" } else { "tool_use" };
            ("contentBlockStart", json!({"contentBlockIndex": block, "start": {"toolUse":
                {"toolUseId": format!("tooluse_{block}"), "name": name, "type": kind}}}))
        }),
        4 => (block.clone(), text.clone()).prop_map(|(block, text)| {
            ("contentBlockDelta", json!({"contentBlockIndex": block, "delta": {"text": text}}))
        }),
        3 => (block.clone(), text.clone()).prop_map(|(block, text)| {
            ("contentBlockDelta", json!({"contentBlockIndex": block, "delta": {"toolUse": {"input": text}}}))
        }),
        3 => (block.clone(), text).prop_map(|(block, text)| {
            ("contentBlockDelta", json!({"contentBlockIndex": block, "delta": {"reasoningContent": {"text": text}}}))
        }),
        1 => block.clone().prop_map(|block| {
            ("contentBlockDelta", json!({"contentBlockIndex": block, "delta": {"reasoningContent": {"signature": "c2ln"}}}))
        }),
        1 => block.clone().prop_map(|block| {
            ("contentBlockDelta", json!({"contentBlockIndex": block, "delta": {"reasoningContent": {"redactedContent": "AAEC"}}}))
        }),
        3 => block.prop_map(|block| ("contentBlockStop", json!({"contentBlockIndex": block}))),
        1 => Just(("metadata", json!({"usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}}))),
        1 => Just(("somethingNew", json!({}))),
    ]
}

fn any_end() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::weighted(
        0.8,
        prop::sample::select(
            &[
                "end_turn",
                "tool_use",
                "max_tokens",
                "guardrail_intervened",
                "malformed_tool_use",
            ][..],
        ),
    )
}

fn any_reply() -> impl Strategy<Value = ReplyContext> {
    (any::<bool>(), any::<bool>(), prop::sample::select(&MODELS[..])).prop_map(
        |(summary, schema, model)| {
            let mut request = json!({
                "model": model,
                "input": "hi",
                "tools": [{"type": "custom", "name": "free"}, {"type": "function", "name": "plain"}],
            });
            if summary {
                request["reasoning"] = json!({"summary": "auto"});
            }
            if schema {
                request["text"] = json!({"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}}});
            }
            Responses::reply(Some(request))
        },
    )
}

fn send(encoder: &mut StreamEncoder, kind: &str, payload: &Value, out: &mut BytesMut) {
    test_support::send::<Responses>(encoder, kind, payload, out);
}

proptest! {
    #[test]
    fn any_order_of_events_gives_a_valid_stream(
        events in prop::collection::vec(any_event(), 0..24),
        end in any_end(),
        reply in any_reply(),
    ) {
        let mut encoder = StreamEncoder::new(reply, &identity());
        let mut out = BytesMut::new();
        for (kind, payload) in &events {
            send(&mut encoder, kind, payload, &mut out);
        }
        if let Some(reason) = end {
            send(&mut encoder, "messageStop", &json!({"stopReason": reason}), &mut out);
        }
        encoder.finish(&mut out);
        let length = out.len();
        encoder.finish(&mut out);
        prop_assert_eq!(out.len(), length, "nothing follows the end");
        let read = checker::read(&out);
        if end.is_none() {
            prop_assert_eq!(read.last, "response.failed", "a stream that was cut is no success");
        }
    }

    #[test]
    fn any_split_of_text_gives_the_same_text(
        text in "\\PC{0,30}[\"\\\\\n]{0,3}\\PC{0,10}",
        cuts in prop::collection::vec(any::<Index>(), 0..6),
    ) {
        let mut encoder = StreamEncoder::new(ReplyContext::default(), &identity());
        let mut out = BytesMut::new();
        for piece in pieces(&text, &cuts) {
            send(&mut encoder, "contentBlockDelta", &json!({"contentBlockIndex": 0, "delta": {"text": piece}}), &mut out);
        }
        send(&mut encoder, "messageStop", &json!({"stopReason": "end_turn"}), &mut out);
        encoder.finish(&mut out);
        let response = checker::read(&out).response;
        let said: Vec<&str> = response["output"].as_array().unwrap().iter()
            .map(|item| item["content"][0]["text"].as_str().unwrap()).collect();
        prop_assert_eq!(said.concat(), text);
    }

    #[test]
    fn reasoning_round_trips_bit_for_bit(
        text in "\\PC{0,40}[ \\n\\t\"\\\\]{0,4}",
        signature in "[A-Za-z0-9+/]{1,60}={0,2}",
        redacted in "[A-Za-z0-9+/]{1,60}={0,2}",
        summary in any::<bool>(),
    ) {
        let request = json!({"model": MODELS[0], "input": "x", "reasoning": {"summary": if summary { "auto" } else { "none" }}});
        let mut encoder = StreamEncoder::new(Responses::reply(Some(request)), &identity());
        let mut out = BytesMut::new();
        for (block, delta) in [
            (0, json!({"text": &text})),
            (0, json!({"signature": &signature})),
            (1, json!({"redactedContent": &redacted})),
        ] {
            send(&mut encoder, "contentBlockDelta", &json!({"contentBlockIndex": block, "delta": {"reasoningContent": delta}}), &mut out);
        }
        send(&mut encoder, "contentBlockDelta", &json!({"contentBlockIndex": 2, "delta": {"text": "y"}}), &mut out);
        send(&mut encoder, "messageStop", &json!({"stopReason": "end_turn"}), &mut out);
        encoder.finish(&mut out);
        let mut input = vec![json!({"role": "user", "content": "x"})];
        input.extend(checker::read(&out).response["output"].as_array().unwrap().iter().cloned());
        input.push(json!({"role": "user", "content": "z"}));
        let body = json!({"model": "m", "input": input}).to_string();
        let capabilities = FamilyTable::builtin().resolve(MODELS[0], None);
        let decoded = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)).unwrap();
        let request = serde_json::to_value(&decoded.request).unwrap();
        let content = &request["messages"][1]["content"];
        prop_assert_eq!(content, &json!([
            {"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}},
            {"reasoningContent": {"redactedContent": redacted}},
            {"text": "y"},
        ]));
    }

    #[test]
    fn any_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), model in prop::sample::select(&MODELS[..])) {
        let capabilities = FamilyTable::builtin().resolve(model, None);
        let _ = decode(&bytes, &DecodeOptions::new(&capabilities));
    }

    #[test]
    fn items_in_any_order_follow_bedrocks_rules_or_are_rejected(
        items in prop::collection::vec(any_item(), 1..10),
        model in prop::sample::select(&MODELS[..]),
    ) {
        let body = json!({"model": "m", "input": items}).to_string();
        let capabilities = FamilyTable::builtin().resolve(model, None);
        if let Ok(decoded) = decode(body.as_bytes(), &DecodeOptions::new(&capabilities)) {
            let request = serde_json::to_value(&decoded.request).unwrap();
            check_conversation(&request, &capabilities);
        }
    }

    #[test]
    fn any_grouping_of_events_gives_the_same_stream(
        case in any::<Index>(),
        cuts in prop::collection::vec(any::<bool>(), 64),
    ) {
        check_grouping::<Responses>(case, &cuts);
    }
}

fn any_item() -> impl Strategy<Value = Value> {
    let text = any_text();
    let id = prop::sample::select(&["a", "b", "call 1"][..]);
    let name = any_tool_name();
    prop_oneof![
        (prop::sample::select(&["system", "developer", "user", "assistant"][..]), text.clone())
            .prop_map(|(role, text)| json!({"role": role, "content": [{"type": "input_text", "text": text}]})),
        (id.clone(), name.clone()).prop_map(|(id, name)| json!({"type": "function_call", "call_id": id, "name": name, "arguments": "{}"})),
        (id.clone(), name, text.clone()).prop_map(|(id, name, text)| json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": text})),
        (id, text.clone()).prop_map(|(id, text)| json!({"type": "function_call_output", "call_id": id, "output": text})),
        text.prop_map(|text| json!({"type": "reasoning", "summary": [], "encrypted_content": super::carrier::seal_signed(&text, "c2ln")})),
    ]
}

proptest! {
    #![proptest_config(prefix::config())]

    #[test]
    fn the_start_of_a_growing_conversation_keeps_its_bytes_by_converse(
        growing in any_growing(),
        model in prop::sample::select(&MODELS[..]),
    ) {
        let capabilities = FamilyTable::builtin().resolve(model, None);
        let mut options = DecodeOptions::new(&capabilities);
        options.automatic_cache = growing.automatic;
        let seal = |text: &str| carrier::seal_signed(text, "c2ln");
        let requests = growing.requests(|growing, rounds| growing.responses(rounds, seal));
        let sent = requests.iter().map(|body| {
            let decoded = decode(body.as_bytes(), &options).ok()?;
            Some(serde_json::to_string(&decoded.request).unwrap())
        });
        check_prefixes(&sent.collect::<Vec<_>>());
    }

    #[test]
    fn the_start_of_a_growing_conversation_keeps_its_bytes_by_passthrough(
        growing in any_growing(),
        model in prop::sample::select(&["openai.gpt-5.6-sol", "openai.gpt-oss-120b"][..]),
    ) {
        let capabilities = FamilyTable::builtin().resolve(model, None);
        let requests = growing.requests(|growing, rounds| growing.responses(rounds, str::to_owned));
        let sent: Vec<String> = requests.iter().map(|body| {
            // Text that another serialization would change.
            let body = body
                .replace("{\"type\":\"object\"}", "{ \"maximum\": 1.00 }")
                .replace("\"role\":\"user\"", "\"role\" : \"us\\u0065r\"");
            let adapted = adapt(body.as_bytes(), "upstream", &capabilities, false).unwrap();
            String::from_utf8(adapted.body).unwrap()
        }).collect();
        for pair in sent.windows(2) {
            let [before, after] = [&pair[0], &pair[1]].map(|body| elements(body));
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(after.starts_with(before), "{:#?}\n{:#?}", before, after);
            }
        }
    }
}

/// The texts of the tools and of the items of an upstream body.
fn elements(body: &str) -> [Vec<&str>; 2] {
    #[derive(serde::Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        tools: Vec<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        input: Vec<&'a serde_json::value::RawValue>,
    }
    let body: Body<'_> = serde_json::from_str(body).unwrap();
    [body.tools, body.input].map(|list| list.iter().map(|one| one.get()).collect())
}
