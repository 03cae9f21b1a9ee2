//! Writes the reply in Anthropic's format, as a message or as events.

use serde_json::{Map, Value, json};

use super::super::reply::Block;
use super::super::script::Script;
use super::super::turn::{LATENCY_MILLISECONDS, Turn};
use crate::encoding::sha256_hex;

/// On Bedrock the ids of messages and tool calls start with `msg_bdrk_` and `toolu_bdrk_`.
fn id(turn: &Turn) -> String {
    let digest = sha256_hex(format!("{:?}", turn.reply).as_bytes());
    format!("msg_bdrk_01{}", digest.chars().take(22).collect::<String>())
}

fn call_id(id: &str) -> String {
    id.replacen("tooluse_", "toolu_bdrk_01", 1)
}

fn stop_reason(turn: &Turn) -> &str {
    match turn.reply.stop_reason.as_str() {
        "guardrail_intervened" => "end_turn",
        "content_filtered" => "refusal",
        other => other,
    }
}

fn usage(turn: &Turn, output: usize) -> Value {
    let [(_, hour), (_, five_minutes)] = turn.usage.written();
    json!({
        "input_tokens": turn.usage.input,
        "cache_creation_input_tokens": turn.usage.cache_write,
        "cache_read_input_tokens": turn.usage.cache_read,
        "cache_creation": { "ephemeral_5m_input_tokens": five_minutes,
            "ephemeral_1h_input_tokens": hour },
        "output_tokens": output,
    })
}

fn block(block: &Block) -> Value {
    match block {
        Block::Text(text) => json!({ "type": "text", "text": text }),
        Block::Reasoning { text, signature } => json!({ "type": "thinking", "thinking": text,
            "signature": signature.clone().unwrap_or_default() }),
        Block::Redacted(data) => json!({ "type": "redacted_thinking", "data": data }),
        Block::ToolUse { id, name, input } => {
            let input: Value = serde_json::from_str(input).unwrap_or_else(|_| json!({}));
            json!({ "type": "tool_use", "id": call_id(id), "name": name, "input": input })
        }
    }
}

/// The plain message.
pub(in crate::bedrock) fn message(model: &str, turn: &Turn) -> Map<String, Value> {
    let content: Vec<Value> = turn.reply.blocks.iter().map(block).collect();
    super::super::stream::object(json!({
        "model": short(model),
        "id": id(turn),
        "type": "message",
        "role": "assistant",
        "content": content,
        "stop_reason": stop_reason(turn),
        "stop_sequence": turn.reply.stop_sequence,
        "usage": usage(turn, turn.usage.output),
    }))
}

/// The model name in Claude's responses: the model id without provider and version.
fn short(model: &str) -> &str {
    let name = model.strip_prefix("anthropic.").unwrap_or(model);
    name.rsplit_once("-v").map_or(name, |(name, _)| name)
}

/// The events of a stream, in Anthropic's order. On InvokeModel the last event has Bedrock's metrics.
pub(in crate::bedrock) fn events(
    model: &str,
    turn: &Turn,
    metrics: bool,
) -> Vec<Map<String, Value>> {
    let mut start = message(model, turn);
    start.insert("content".to_owned(), json!([]));
    start.insert("stop_reason".to_owned(), Value::Null);
    start.insert("stop_sequence".to_owned(), Value::Null);
    start.insert("usage".to_owned(), usage(turn, turn.usage.output.min(1)));
    let mut events = vec![json!({ "type": "message_start", "message": start })];
    for (index, block) in turn.reply.blocks.iter().enumerate() {
        let (start, deltas) = parts(block, &turn.script);
        events
            .push(json!({ "type": "content_block_start", "index": index, "content_block": start }));
        if index == 0 {
            events.push(json!({ "type": "ping" }));
        }
        for delta in deltas {
            events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        }
        events.push(json!({ "type": "content_block_stop", "index": index }));
    }
    if turn.script.unknown_event {
        events.insert(1, json!({ "type": "something_new", "future": true }));
    }
    events.push(json!({ "type": "message_delta",
        "delta": { "stop_reason": stop_reason(turn), "stop_sequence": turn.reply.stop_sequence },
        "usage": { "output_tokens": turn.usage.output } }));
    let mut stop = json!({ "type": "message_stop" });
    if metrics && let Some(object) = stop.as_object_mut() {
        object.insert(
            "amazon-bedrock-invocationMetrics".to_owned(),
            json!({
                "inputTokenCount": turn.usage.input, "outputTokenCount": turn.usage.output,
                "invocationLatency": LATENCY_MILLISECONDS, "firstByteLatency": LATENCY_MILLISECONDS / 2,
                "cacheReadInputTokenCount": turn.usage.cache_read,
                "cacheWriteInputTokenCount": turn.usage.cache_write,
            }),
        );
    }
    events.push(stop);
    events
        .into_iter()
        .map(super::super::stream::object)
        .collect()
}

/// The start of a block, and its deltas.
fn parts(block: &Block, script: &Script) -> (Value, Vec<Value>) {
    let cut = |text: &str| script.pieces(text);
    match block {
        Block::Text(text) => (
            json!({ "type": "text", "text": "" }),
            cut(text)
                .iter()
                .map(|piece| json!({ "type": "text_delta", "text": piece }))
                .collect(),
        ),
        Block::Reasoning { text, signature } => {
            let mut deltas: Vec<Value> = cut(text)
                .iter()
                .map(|piece| json!({ "type": "thinking_delta", "thinking": piece }))
                .collect();
            if let Some(signature) = signature {
                deltas.push(json!({ "type": "signature_delta", "signature": signature }));
            }
            (
                json!({ "type": "thinking", "thinking": "", "signature": "" }),
                deltas,
            )
        }
        Block::Redacted(data) => (
            json!({ "type": "redacted_thinking", "data": data }),
            Vec::new(),
        ),
        Block::ToolUse { id, name, input } => {
            let mut deltas = vec![json!({ "type": "input_json_delta", "partial_json": "" })];
            if input != "{}" {
                deltas.extend(
                    cut(input)
                        .iter()
                        .map(|piece| json!({ "type": "input_json_delta", "partial_json": piece })),
                );
            }
            (
                json!({ "type": "tool_use", "id": call_id(id), "name": name, "input": {} }),
                deltas,
            )
        }
    }
}
