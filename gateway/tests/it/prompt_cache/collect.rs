//! Complete responses from streams, as clients of each API collect them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::wire::Api;
use crate::{bedrock_api::upstream::frames_of, messages, rig};

/// The response whose stream this is, as without a stream.
pub(super) fn response(api: Api, body: &[u8]) -> Value {
    match api {
        Api::Chat => chat(&rig::events(text(body))),
        Api::Responses => responses(text(body)),
        Api::Messages => messages::collect_message(&messages::events(text(body))),
        Api::Converse => converse(body),
        Api::InvokeModel => {
            let frames = frames_of(body).into_iter();
            let events: Vec<Value> = frames
                .map(|(kind, payload)| {
                    assert_eq!(kind, "chunk", "{payload}");
                    let chunk: Value = serde_json::from_str(&payload).unwrap();
                    let event = STANDARD.decode(chunk["bytes"].as_str().unwrap()).unwrap();
                    serde_json::from_slice(&event).unwrap()
                })
                .collect();
            messages::collect_message(&events)
        }
    }
}

fn text(body: &[u8]) -> &str {
    std::str::from_utf8(body).unwrap()
}

/// Appends a piece of text to a member.
fn append(member: &mut Value, piece: &Value) {
    if let Some(piece) = piece.as_str() {
        let before = member.as_str().unwrap_or_default();
        *member = json!(format!("{before}{piece}"));
    }
}

fn index(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

fn chat(events: &[Value]) -> Value {
    let (last, chunks) = events.split_last().unwrap();
    assert_eq!(last, "[DONE]");
    let mut message = json!({"role": "assistant", "content": null});
    let mut usage = Value::Null;
    for chunk in chunks {
        assert!(chunk["error"].is_null(), "{chunk}");
        if !chunk["usage"].is_null() {
            usage = chunk["usage"].clone();
        }
        let delta = &chunk["choices"][0]["delta"];
        append(&mut message["content"], &delta["content"]);
        for block in delta["thinking_blocks"].as_array().into_iter().flatten() {
            let mut block = block.clone();
            block.as_object_mut().unwrap().remove("index");
            extend(&mut message["thinking_blocks"], block);
        }
        for call in delta["tool_calls"].as_array().into_iter().flatten() {
            let known = message["tool_calls"].as_array().map_or(0, Vec::len);
            if index(&call["index"]) == known {
                let name = &call["function"]["name"];
                let new = json!({"id": call["id"], "type": "function",
                    "function": {"name": name, "arguments": ""}});
                extend(&mut message["tool_calls"], new);
            }
            let whole = &mut message["tool_calls"][index(&call["index"])]["function"];
            append(&mut whole["arguments"], &call["function"]["arguments"]);
        }
    }
    json!({"choices": [{"message": message}], "usage": usage})
}

fn extend(list: &mut Value, element: Value) {
    match list.as_array_mut() {
        Some(list) => list.push(element),
        None => *list = json!([element]),
    }
}

/// The items as they are done, like Codex; the last event has the same ones.
fn responses(text: &str) -> Value {
    let mut items = Vec::new();
    let mut completed = Value::Null;
    for event in text.split_terminator("\n\n") {
        let Some((_, data)) = event.split_once("data: ") else {
            continue;
        };
        let mut event: Value = serde_json::from_str(data).unwrap();
        match event["type"].as_str().unwrap() {
            "response.output_item.done" => items.push(event["item"].take()),
            "response.completed" => completed = event["response"].take(),
            "error" | "response.failed" => panic!("{event}"),
            _ => {}
        }
    }
    assert_eq!(completed["output"], json!(items));
    completed
}

fn converse(body: &[u8]) -> Value {
    let mut content: Vec<Value> = Vec::new();
    let mut usage = Value::Null;
    for (kind, payload) in frames_of(body) {
        let event: Value = serde_json::from_str(&payload).unwrap();
        let at = || index(&event["contentBlockIndex"]);
        match kind.as_str() {
            "contentBlockStart" => {
                let call = &event["start"]["toolUse"];
                let (id, name) = (&call["toolUseId"], &call["name"]);
                content.resize(at(), Value::Null);
                content.push(json!({"toolUse": {"toolUseId": id, "name": name, "input": ""}}));
            }
            "contentBlockDelta" => {
                if content.len() <= at() {
                    content.resize(at() + 1, Value::Null);
                }
                let block = &mut content[at()];
                let delta = &event["delta"];
                if let Some(reasoning) = delta["reasoningContent"].as_object() {
                    for (name, piece) in reasoning {
                        let whole = &mut block["reasoningContent"]["reasoningText"][name.as_str()];
                        append(whole, piece);
                    }
                } else if delta["toolUse"].is_object() {
                    append(&mut block["toolUse"]["input"], &delta["toolUse"]["input"]);
                } else {
                    append(&mut block["text"], &delta["text"]);
                }
            }
            "metadata" => usage = event["usage"].clone(),
            "messageStart" | "contentBlockStop" | "messageStop" => {}
            other => panic!("{other}: {payload}"),
        }
    }
    for block in &mut content {
        if let Some(input) = block.pointer_mut("/toolUse/input") {
            *input = serde_json::from_str(input.as_str().unwrap()).unwrap();
        }
        assert_eq!(
            block.as_object().map(serde_json::Map::len),
            Some(1),
            "{block}"
        );
    }
    json!({"output": {"message": {"role": "assistant", "content": content}}, "usage": usage})
}
