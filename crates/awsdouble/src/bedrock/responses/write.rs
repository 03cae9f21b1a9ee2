//! Writes the reply as a response object, or as events.

use serde_json::{Map, Value, json};

use super::super::json::list;
use super::super::prompt::tokens;
use super::super::reply::Block;
use super::super::stream::object;
use super::super::turn::Turn;
use super::tools;
use crate::encoding::sha256_hex;

/// Creation time of all responses; constant, so that responses are reproducible.
const CREATED: u64 = 1_764_460_800;

pub(super) struct Reply<'a> {
    pub(super) body: &'a Value,
    pub(super) model: &'a str,
    pub(super) turn: &'a Turn,
}

/// Events with sequence numbers.
#[derive(Default)]
struct Events(Vec<Vec<u8>>);

impl Events {
    fn push(&mut self, kind: &str, mut event: Value) {
        if let Some(object) = event.as_object_mut() {
            object.insert("type".to_owned(), json!(kind));
            object.insert("sequence_number".to_owned(), json!(self.0.len()));
        }
        self.0
            .push(format!("event: {kind}\ndata: {event}\n\n").into_bytes());
    }
}

impl Reply<'_> {
    fn id(&self, kind: &str, index: usize) -> String {
        let digest = sha256_hex(format!("{index} {:?}", self.turn.reply).as_bytes());
        format!("{kind}_{}", digest.chars().take(40).collect::<String>())
    }

    /// An item of the output.
    fn item(&self, index: usize, block: &Block, status: &str) -> Value {
        match block {
            Block::Text(text) => json!({ "id": self.id("msg", index), "type": "message",
                "role": "assistant", "status": status,
                "content": [{ "type": "output_text", "text": text, "annotations": [], "logprobs": [] }] }),
            Block::Reasoning { text, .. } => self.reasoning(index, text),
            Block::Redacted(_) => self.reasoning(index, ""),
            Block::ToolUse { id, name, input } => {
                let mut item = object(json!({ "id": self.id("fc", index),
                    "type": "function_call", "status": status, "call_id": call_id(id) }));
                item.extend(tools::name_in_call(self.body, self.model, name));
                item.insert("arguments".to_owned(), json!(input));
                Value::Object(item)
            }
        }
    }

    fn reasoning(&self, index: usize, text: &str) -> Value {
        let mut item = json!({ "id": self.id("rs", index), "type": "reasoning",
            "summary": if text.is_empty() { json!([]) } else { json!([{ "type": "summary_text", "text": text }]) } });
        let requested = list(self.body, "include")
            .iter()
            .any(|one| one == "reasoning.encrypted_content");
        if requested && let Some(object) = item.as_object_mut() {
            let content = super::super::reply::reasoning_signature(text);
            object.insert("encrypted_content".to_owned(), json!(content));
        }
        item
    }

    fn incomplete(&self) -> Option<&'static str> {
        match self.turn.reply.stop_reason.as_str() {
            "max_tokens" | "model_context_window_exceeded" => Some("max_output_tokens"),
            "guardrail_intervened" | "content_filtered" => Some("content_filter"),
            _ => None,
        }
    }

    fn response(&self, status: &str, output: &[Value]) -> Map<String, Value> {
        let field = |name: &str, default: Value| self.body.get(name).cloned().unwrap_or(default);
        object(json!({
            "id": self.id("resp", usize::MAX), "object": "response", "created_at": CREATED,
            "status": status, "background": false, "error": null,
            "incomplete_details": null,
            "instructions": field("instructions", Value::Null),
            "max_output_tokens": field("max_output_tokens", Value::Null),
            "metadata": field("metadata", json!({})), "model": self.model, "output": output,
            "parallel_tool_calls": field("parallel_tool_calls", json!(true)),
            "previous_response_id": null,
            "reasoning": field("reasoning", json!({ "effort": null, "summary": null })),
            "service_tier": "default", "store": field("store", json!(true)),
            "temperature": field("temperature", json!(1.0)),
            "text": field("text", json!({ "format": { "type": "text" } })),
            "tool_choice": field("tool_choice", json!("auto")), "tools": field("tools", json!([])),
            "top_p": field("top_p", json!(1.0)), "truncation": "disabled", "usage": null,
        }))
    }

    fn usage(&self) -> Value {
        let usage = &self.turn.usage;
        let input = usage.input + usage.cache_read + usage.cache_write;
        let thoughts = self.turn.reply.blocks.iter().map(|block| match block {
            Block::Reasoning { text, .. } => tokens(text),
            _ => 0,
        });
        json!({ "input_tokens": input,
            "input_tokens_details": { "cached_tokens": usage.cache_read },
            "output_tokens": usage.output,
            "output_tokens_details": { "reasoning_tokens": thoughts.sum::<usize>() },
            "total_tokens": input + usage.output })
    }

    fn finished(&self) -> Map<String, Value> {
        let status = self.incomplete().map_or("completed", |_| "incomplete");
        let blocks = self.turn.reply.blocks.iter().enumerate();
        let output: Vec<Value> = blocks
            .map(|(index, block)| self.item(index, block, "completed"))
            .collect();
        let mut response = self.response(status, &output);
        if let Some(reason) = self.incomplete() {
            response.insert("incomplete_details".to_owned(), json!({ "reason": reason }));
        }
        response.insert("usage".to_owned(), self.usage());
        response
    }

    pub(super) fn whole(&self) -> Value {
        Value::Object(self.finished())
    }

    pub(super) fn events(&self) -> Vec<Vec<u8>> {
        let mut events = Events::default();
        let started = json!({ "response": self.response("in_progress", &[]) });
        events.push("response.created", started.clone());
        events.push("response.in_progress", started);
        for (index, block) in self.turn.reply.blocks.iter().enumerate() {
            self.item_events(&mut events, index, block);
        }
        let kind = match self.incomplete() {
            Some(_) => "response.incomplete",
            None => "response.completed",
        };
        events.push(kind, json!({ "response": self.finished() }));
        events.0
    }

    fn item_events(&self, events: &mut Events, index: usize, block: &Block) {
        let done = self.item(index, block, "completed");
        let item_id = done.get("id").cloned().unwrap_or_default();
        let mut started = self.item(index, block, "in_progress");
        if let Some(object) = started.as_object_mut() {
            for (name, empty) in [
                ("content", json!([])),
                ("summary", json!([])),
                ("arguments", json!("")),
            ] {
                if object.contains_key(name) {
                    object.insert(name.to_owned(), empty);
                }
            }
        }
        events.push(
            "response.output_item.added",
            json!({ "output_index": index, "item": started }),
        );
        let place = |extra: Value| {
            let mut event = object(json!({ "item_id": item_id, "output_index": index }));
            event.extend(object(extra));
            Value::Object(event)
        };
        let cut = |text: &str| self.turn.script.pieces(text);
        match block {
            Block::Text(text) => {
                let part = |text: &str| json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] });
                let here = |extra: Value| {
                    let mut event = object(json!({ "content_index": 0 }));
                    event.extend(object(extra));
                    place(Value::Object(event))
                };
                events.push(
                    "response.content_part.added",
                    here(json!({ "part": part("") })),
                );
                for piece in cut(text) {
                    events.push(
                        "response.output_text.delta",
                        here(json!({ "delta": piece, "logprobs": [] })),
                    );
                }
                events.push(
                    "response.output_text.done",
                    here(json!({ "text": text, "logprobs": [] })),
                );
                events.push(
                    "response.content_part.done",
                    here(json!({ "part": part(text) })),
                );
            }
            Block::Reasoning { text, .. } if !text.is_empty() => {
                let part = |text: &str| json!({ "summary_index": 0, "part": { "type": "summary_text", "text": text } });
                events.push("response.reasoning_summary_part.added", place(part("")));
                for piece in cut(text) {
                    events.push(
                        "response.reasoning_summary_text.delta",
                        place(json!({ "summary_index": 0, "delta": piece })),
                    );
                }
                events.push(
                    "response.reasoning_summary_text.done",
                    place(json!({ "summary_index": 0, "text": text })),
                );
                events.push("response.reasoning_summary_part.done", place(part(text)));
            }
            Block::Reasoning { .. } | Block::Redacted(_) => {}
            Block::ToolUse { name, input, .. } => {
                for piece in cut(input) {
                    events.push(
                        "response.function_call_arguments.delta",
                        place(json!({ "delta": piece })),
                    );
                }
                events.push(
                    "response.function_call_arguments.done",
                    place(json!({ "name": name, "arguments": input })),
                );
            }
        }
        events.push(
            "response.output_item.done",
            json!({ "output_index": index, "item": done }),
        );
    }
}

fn call_id(id: &str) -> String {
    id.replacen("tooluse_", "call_", 1)
}
