//! A client of Anthropic Messages: requests, and messages from the events of streams.

use http::Method;
use serde_json::{Value, json};

use super::VERSION;
use crate::rig::{Response, Rig};

impl Rig {
    pub(crate) async fn messages(&self, body: &Value) -> Response {
        self.messages_with(&[VERSION], body).await
    }

    pub(crate) async fn messages_with(&self, headers: &[(&str, &str)], body: &Value) -> Response {
        self.call(Method::POST, "/v1/messages", headers, body.to_string())
            .await
    }
}

pub(crate) fn ask(model: &str, prompt: &str) -> Value {
    json!({ "model": model, "max_tokens": 4000, "messages": [{ "role": "user", "content": prompt }] })
}

/// The events of a stream; checks the name of each event.
#[track_caller]
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once("\ndata: ").unwrap();
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name, format!("event: {}", data["type"].as_str().unwrap()));
            data
        })
        .collect()
}

/// Builds the message from the events of a stream, like a client.
#[track_caller]
pub(crate) fn collect_message(events: &[Value]) -> Value {
    let mut message = events[0]["message"].clone();
    for event in &events[1..] {
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                let content = message["content"].as_array_mut().unwrap();
                assert_eq!(event["index"], content.len(), "dense indexes");
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let index = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
                let block = &mut message["content"][index];
                let delta = event["delta"].as_object().unwrap();
                for (name, piece) in delta.iter().filter(|(name, _)| *name != "type") {
                    let all = format!(
                        "{}{}",
                        block[name.as_str()].as_str().unwrap_or_default(),
                        piece.as_str().unwrap()
                    );
                    block[name.as_str()] = Value::from(all);
                }
            }
            "content_block_stop" => {
                let index = usize::try_from(event["index"].as_u64().unwrap()).unwrap();
                let block = message["content"][index].as_object_mut().unwrap();
                if let Some(json) = block.remove("partial_json") {
                    let json = json.as_str().unwrap();
                    let json = if json.is_empty() { "{}" } else { json };
                    block.insert("input".to_owned(), serde_json::from_str(json).unwrap());
                }
            }
            "message_delta" => {
                for (name, value) in event["delta"].as_object().unwrap() {
                    message[name.as_str()] = value.clone();
                }
                for (name, value) in event["usage"].as_object().unwrap() {
                    message["usage"][name.as_str()] = value.clone();
                }
            }
            "ping" | "message_stop" => {}
            other => panic!("{other}: {event}"),
        }
    }
    assert_eq!(events.last().unwrap()["type"], "message_stop");
    message
}
