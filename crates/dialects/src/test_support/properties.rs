//! Generators and checks for properties. `PROPTEST_CASES` sets the number of cases.

use std::sync::Arc;

use bytes::BytesMut;
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{
    Dialect,
    golden::{inputs, run},
    send,
};
use crate::families::{FamilyTable, FirstMessage, ModelCapabilities};

/// Capabilities of one of the models.
pub(crate) fn any_capabilities(
    models: &'static [&'static str],
) -> impl Strategy<Value = Arc<ModelCapabilities>> {
    prop::sample::select(models).prop_map(|id| FamilyTable::builtin().resolve(id, None))
}

/// One of `known`, or sometimes any short text.
pub(crate) fn any_word(
    weight: u32,
    known: &'static [&'static str],
) -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        weight => prop::sample::select(known).prop_map(str::to_owned),
        1 => "\\PC{0,8}",
    ]
}

/// Any shallow JSON whose strings and keys are often ones that the dialect knows.
pub(crate) fn any_json(
    words: &'static [&'static str],
    key: impl Strategy<Value = String> + Clone + 'static,
) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
        prop::sample::select(words).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Text of a message: empty, blank or short.
pub(crate) fn any_text() -> impl Strategy<Value = String> + Clone {
    prop_oneof![Just(String::new()), Just(" \n".to_owned()), "\\PC{1,12}"]
}

/// A name of a tool, often one that Bedrock does not accept.
pub(crate) fn any_tool_name() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(&["f", "mcp.read", "mcp_read", "ü"][..])
}

/// Splits text at the given positions.
pub(crate) fn pieces(text: &str, cuts: &[Index]) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let mut edges: Vec<usize> = cuts.iter().map(|cut| cut.index(chars.len() + 1)).collect();
    edges.sort_unstable();
    let mut from = 0;
    edges
        .into_iter()
        .chain([chars.len()])
        .map(|to| {
            let piece = chars[from..to].iter().collect();
            from = to;
            piece
        })
        .collect()
}

/// Bedrock's rules for a conversation, as far as they do not depend on the model, and two that do.
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
    assert!(expected.is_empty(), "every call has a result");
    if capabilities.first_message == FirstMessage::User {
        assert_eq!(messages[0]["role"], "user");
    }
    if !seen.is_empty() && capabilities.tools.supported {
        assert!(
            request["toolConfig"]["tools"].is_array(),
            "tools of the history are declared"
        );
    }
}

/// Checks that emptying the output buffer after any event does not change the stream.
pub(crate) fn check_grouping<D: Dialect>(case: Index, cuts: &[bool]) {
    let paths = inputs::<D>("streams", "jsonl");
    let path = &paths[case.index(paths.len())];
    assert_eq!(run::<D>(path, &[false]), run::<D>(path, cuts));
}

/// Streams signed reasoning in pieces, then redacted reasoning; returns the server-sent events.
pub(crate) fn stream_reasoning<D: Dialect>(
    reply: D::Reply,
    texts: &[String],
    signature: &str,
    redacted: &str,
) -> String {
    let mut encoder = D::encoder(reply);
    let mut out = BytesMut::new();
    let mut delta = |block: u64, reasoning: Value| {
        let payload = json!({"contentBlockIndex": block, "delta": {"reasoningContent": reasoning}});
        send::<D>(&mut encoder, "contentBlockDelta", &payload, &mut out);
    };
    for text in texts {
        delta(0, json!({ "text": text }));
    }
    delta(0, json!({ "signature": signature }));
    for block in 0..2 {
        if block == 1 {
            let payload = json!({"contentBlockIndex": 1, "delta": {"reasoningContent": {"redactedContent": redacted}}});
            send::<D>(&mut encoder, "contentBlockDelta", &payload, &mut out);
        }
        let stop = json!({ "contentBlockIndex": block });
        send::<D>(&mut encoder, "contentBlockStop", &stop, &mut out);
    }
    String::from_utf8(out.to_vec()).unwrap()
}

/// Checks that the replayed conversation's second message begins with the reasoning, bit for bit.
pub(crate) fn check_replayed(request: &Value, text: &str, signature: &str, redacted: &str) {
    let content = &request["messages"][1]["content"];
    assert_eq!(
        content[0],
        json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
    );
    assert_eq!(
        content[1],
        json!({"reasoningContent": {"redactedContent": redacted}})
    );
}
