//! Writes a chat completion, plain or as chunks.

use serde_json::{Value, json};

use super::super::prompt::tokens;
use super::super::reply::Block;
use super::super::turn::Turn;
use crate::encoding::sha256_hex;

/// Creation time of all responses; constant, so that responses are reproducible.
const CREATED: u64 = 1_764_460_800;

pub(super) struct Reply<'a> {
    pub(super) model: &'a str,
    pub(super) turn: &'a Turn,
    pub(super) mantle: bool,
}

impl Reply<'_> {
    fn id(&self) -> String {
        let digest = sha256_hex(format!("{:?}", self.turn.reply).as_bytes());
        format!("chatcmpl-{}", digest.chars().take(32).collect::<String>())
    }

    fn finish_reason(&self) -> &'static str {
        match self.turn.reply.stop_reason.as_str() {
            "tool_use" => "tool_calls",
            "max_tokens" | "model_context_window_exceeded" => "length",
            "guardrail_intervened" | "content_filtered" => "content_filter",
            _ => "stop",
        }
    }

    fn reasoning(&self) -> String {
        let reasoning = self.turn.reply.blocks.iter().filter_map(|one| match one {
            Block::Reasoning { text, .. } => Some(text.as_str()),
            _ => None,
        });
        reasoning.collect()
    }

    fn content_text(&self) -> String {
        let texts = self.turn.reply.blocks.iter().filter_map(|one| match one {
            Block::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let text: String = texts.collect();
        let reasoning = self.reasoning();
        if self.mantle || reasoning.is_empty() {
            return text;
        }
        format!("<reasoning>{reasoning}</reasoning>{text}")
    }

    fn calls(&self) -> Vec<(&str, &str, &str)> {
        let calls = self.turn.reply.blocks.iter().filter_map(|one| match one {
            Block::ToolUse { id, name, input } => {
                Some((id.as_str(), name.as_str(), input.as_str()))
            }
            _ => None,
        });
        calls.collect()
    }

    fn usage(&self) -> Value {
        let usage = &self.turn.usage;
        let prompt = usage.input + usage.cache_read + usage.cache_write;
        json!({ "prompt_tokens": prompt, "completion_tokens": usage.output,
            "total_tokens": prompt + usage.output,
            "prompt_tokens_details": { "cached_tokens": usage.cache_read },
            "completion_tokens_details": { "reasoning_tokens": tokens(&self.reasoning()) } })
    }

    pub(super) fn whole(&self) -> Value {
        let text = self.content_text();
        let calls: Vec<Value> = self
            .calls()
            .into_iter()
            .map(|(id, name, input)| {
                json!({ "id": id, "type": "function",
                "function": { "name": name, "arguments": input } })
            })
            .collect();
        let mut message = json!({ "role": "assistant",
            "content": if text.is_empty() { Value::Null } else { json!(text) }, "refusal": null });
        if let Some(object) = message.as_object_mut() {
            if !calls.is_empty() {
                object.insert("tool_calls".to_owned(), json!(calls));
            }
            let reasoning = self.reasoning();
            if self.mantle && !reasoning.is_empty() {
                object.insert("reasoning".to_owned(), json!(reasoning));
            }
        }
        let mut reply = json!({ "id": self.id(), "object": "chat.completion", "created": CREATED,
            "model": self.model, "choices": [{ "index": 0, "message": message, "logprobs": null,
                "finish_reason": self.finish_reason() }],
            "usage": self.usage(), "service_tier": "default", "system_fingerprint": null });
        if self.turn.guardrail.is_some()
            && let Some(object) = reply.as_object_mut()
        {
            let action = if self.turn.intervened() {
                "INTERVENED"
            } else {
                "NONE"
            };
            object.insert("amazon-bedrock-guardrailAction".to_owned(), json!(action));
        }
        reply
    }

    fn chunk(&self, choices: &Value, usage: &Value) -> Value {
        json!({ "id": self.id(), "object": "chat.completion.chunk", "created": CREATED,
            "model": self.model, "choices": choices, "usage": usage, "service_tier": "default",
            "system_fingerprint": null })
    }

    fn delta(&self, delta: &Value) -> Value {
        let choice =
            json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": null }]);
        self.chunk(&choice, &Value::Null)
    }

    /// The chunks of a stream.
    pub(super) fn chunks(&self, include_usage: bool) -> Vec<Value> {
        let cut = |text: &str| self.turn.script.pieces(text);
        let mut chunks = vec![self.delta(&json!({ "role": "assistant", "content": "" }))];
        if self.mantle {
            for piece in cut(&self.reasoning()) {
                chunks.push(self.delta(&json!({ "reasoning": piece })));
            }
        }
        for piece in cut(&self.content_text()) {
            chunks.push(self.delta(&json!({ "content": piece })));
        }
        for (index, (id, name, input)) in self.calls().into_iter().enumerate() {
            let index = index + usize::from(self.mantle);
            let call = |call: Value| self.delta(&json!({ "tool_calls": [call] }));
            chunks.push(call(json!({ "index": index, "id": id, "type": "function",
                "function": { "name": name, "arguments": "" } })));
            for piece in cut(input) {
                chunks.push(call(
                    json!({ "index": index, "function": { "arguments": piece } }),
                ));
            }
        }
        let last = json!([{ "index": 0, "delta": {}, "logprobs": null,
            "finish_reason": self.finish_reason() }]);
        chunks.push(self.chunk(&last, &Value::Null));
        if include_usage {
            chunks.push(self.chunk(&json!([]), &self.usage()));
        }
        chunks
    }

    pub(super) fn events(&self, include_usage: bool) -> Vec<Vec<u8>> {
        let mut events: Vec<Vec<u8>> = self
            .chunks(include_usage)
            .into_iter()
            .map(|chunk| format!("data: {chunk}\n\n").into_bytes())
            .collect();
        events.push(b"data: [DONE]\n\n".to_vec());
        events
    }
}
