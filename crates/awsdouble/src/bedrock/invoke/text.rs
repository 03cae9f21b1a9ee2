//! The body formats of Llama and Mistral: a prompt in, a text out.
//!
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-meta.html> and
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-mistral-text-completion.html>.

use serde_json::{Map, Value, json};

use super::super::json::text;
use super::super::prompt::tokens;
use super::super::reply::Block;
use super::super::stream::object;
use super::super::turn::Turn;
use super::schema;
use crate::error::AwsError;

const SPECIAL: [&str; 10] = [
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|header_start|>",
    "<|header_end|>",
    "<|eot_id|>",
    "<|eot|>",
    "<s>",
    "[INST]",
    "[/INST]",
];

/// Converts a prompt to a conversation of one turn, without the template's special tokens.
fn conversation(prompt: &str, config: &Value) -> Value {
    let mut plain = prompt.to_owned();
    for mark in SPECIAL {
        plain = plain.replace(mark, "\n");
    }
    json!({ "messages": [{ "role": "user", "content": [{ "text": plain }] }],
        "inferenceConfig": config })
}

pub(super) fn llama(body: &Value) -> Result<Value, AwsError> {
    let known = ["prompt", "temperature", "top_p", "max_gen_len", "images"];
    schema(body, "#", &known, &["prompt"])?;
    let maximum = body
        .get("max_gen_len")
        .cloned()
        .unwrap_or_else(|| json!(512));
    let prompt = text(body, "prompt").unwrap_or_default();
    Ok(conversation(prompt, &json!({ "maxTokens": maximum })))
}

pub(super) fn mistral(body: &Value) -> Result<Value, AwsError> {
    let known = [
        "prompt",
        "max_tokens",
        "stop",
        "temperature",
        "top_p",
        "top_k",
    ];
    schema(body, "#", &known, &["prompt"])?;
    let maximum = body
        .get("max_tokens")
        .cloned()
        .unwrap_or_else(|| json!(512));
    let stop = body.get("stop").cloned().unwrap_or_else(|| json!([]));
    let prompt = text(body, "prompt").unwrap_or_default();
    Ok(conversation(
        prompt,
        &json!({ "maxTokens": maximum, "stopSequences": stop }),
    ))
}

fn text_of(turn: &Turn) -> String {
    let texts = turn.reply.blocks.iter().filter_map(|block| match block {
        Block::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

fn stop_reason(turn: &Turn) -> &'static str {
    match turn.reply.stop_reason.as_str() {
        "max_tokens" => "length",
        _ => "stop",
    }
}

pub(super) fn llama_reply(turn: &Turn) -> Map<String, Value> {
    object(
        json!({ "generation": text_of(turn), "prompt_token_count": turn.usage.input,
        "generation_token_count": turn.usage.output, "stop_reason": stop_reason(turn) }),
    )
}

pub(super) fn llama_chunks(turn: &Turn) -> Vec<Map<String, Value>> {
    let mut generated = 0;
    let mut chunks: Vec<Value> = Vec::new();
    for piece in turn.script.pieces(&text_of(turn)) {
        generated += tokens(&piece);
        let prompt = chunks.is_empty().then_some(turn.usage.input);
        chunks.push(json!({ "generation": piece, "prompt_token_count": prompt,
            "generation_token_count": generated, "stop_reason": null }));
    }
    chunks.push(json!({ "generation": "", "prompt_token_count": null,
        "generation_token_count": generated, "stop_reason": stop_reason(turn) }));
    chunks.into_iter().map(object).collect()
}

pub(super) fn mistral_reply(turn: &Turn) -> Map<String, Value> {
    object(json!({ "outputs": [{ "text": text_of(turn), "stop_reason": stop_reason(turn) }] }))
}

pub(super) fn mistral_chunks(turn: &Turn) -> Vec<Map<String, Value>> {
    let mut chunks: Vec<Value> = turn
        .script
        .pieces(&text_of(turn))
        .into_iter()
        .map(|piece| json!({ "outputs": [{ "text": piece, "stop_reason": null }] }))
        .collect();
    chunks.push(json!({ "outputs": [{ "text": "", "stop_reason": stop_reason(turn) }] }));
    chunks.into_iter().map(object).collect()
}
