//! Composes the model's reply to a Converse request: content blocks, stop reason, output tokens. The streamed and the
//! plain response are both written from it, so they are equal.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::prompt::{first_tokens, last_user_extras, tokens};
use super::script::{Script, ToolCall};
use crate::encoding::sha256_hex;

/// A content block of a reply.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Block {
    Text(String),
    Reasoning {
        text: String,
        signature: Option<String>,
    },
    Redacted(String),
    /// `input` is JSON text, truncated at the token limit.
    ToolUse {
        id: String,
        name: String,
        input: String,
    },
}

/// A reply of the model.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) blocks: Vec<Block>,
    pub(super) stop_reason: String,
    pub(super) stop_sequence: Option<String>,
    pub(super) output_tokens: usize,
}

impl Reply {
    /// The reply of a guardrail that blocked the content.
    pub(super) fn blocked(message: &str) -> Self {
        Self {
            blocks: vec![Block::Text(message.to_owned())],
            stop_reason: "guardrail_intervened".to_owned(),
            stop_sequence: None,
            output_tokens: 0,
        }
    }
}

impl Block {
    fn tokens(&self) -> usize {
        match self {
            Self::Text(text) | Self::Reasoning { text, .. } => tokens(text),
            Self::Redacted(data) => tokens(data),
            Self::ToolUse { input, .. } => tokens(input),
        }
    }

    /// The block in Converse's format.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!({ "text": text }),
            Self::Reasoning { text, signature } => {
                let mut reasoning = Map::new();
                if let Some(signature) = signature {
                    reasoning.insert("signature".to_owned(), json!(signature));
                }
                reasoning.insert("text".to_owned(), json!(text));
                json!({ "reasoningContent": { "reasoningText": reasoning } })
            }
            Self::Redacted(data) => json!({ "reasoningContent": { "redactedContent": data } }),
            Self::ToolUse { id, name, input } => {
                let input: Value = serde_json::from_str(input).unwrap_or_else(|_| json!({}));
                json!({ "toolUse": { "input": input, "name": name, "toolUseId": id } })
            }
        }
    }
}

/// The signature of a reasoning text, which the double requires when the text is returned.
pub fn reasoning_signature(text: &str) -> String {
    STANDARD.encode(sha256_hex(format!("reasoning {text}").as_bytes()))
}

/// The data of the double's redacted reasoning block, which is the only one that it accepts.
pub fn redacted_reasoning() -> String {
    STANDARD.encode("redacted reasoning")
}

/// Composes the reply.
pub(super) fn compose(model: &str, request: &Value, script: &Script) -> Reply {
    let mut blocks = reasoning(script);
    let forced = forced_calls(request, script);
    let calls = forced.as_ref().unwrap_or(&script.tools);
    let text = text(model, request, script, !calls.is_empty());
    if !text.is_empty() {
        blocks.push(Block::Text(text));
    }
    let turn = request
        .get("messages")
        .and_then(Value::as_array)
        .map_or(0, Vec::len);
    for (index, call) in calls.iter().enumerate() {
        let digest = sha256_hex(format!("{turn} {index} {} {}", call.name, call.input).as_bytes());
        blocks.push(Block::ToolUse {
            id: format!("tooluse_{}", digest.chars().take(22).collect::<String>()),
            name: call.name.clone(),
            input: call.input.to_string(),
        });
    }
    let stop_reason = if calls.is_empty() {
        "end_turn"
    } else {
        "tool_use"
    };
    let mut reply = Reply {
        blocks,
        stop_reason: stop_reason.to_owned(),
        stop_sequence: None,
        output_tokens: 0,
    };
    stop_at_sequence(&mut reply, request);
    stop_at_maximum(&mut reply, request);
    if let Some(stop) = &script.stop {
        reply.stop_reason.clone_from(stop);
    }
    reply
}

fn reasoning(script: &Script) -> Vec<Block> {
    let mut blocks = Vec::new();
    if let Some(text) = &script.reasoning {
        let signature = (!script.unsigned).then(|| reasoning_signature(text));
        blocks.push(Block::Reasoning {
            text: text.clone(),
            signature,
        });
    }
    if script.signature_only {
        blocks.push(Block::Reasoning {
            text: String::new(),
            signature: Some(reasoning_signature("")),
        });
    }
    if script.redacted {
        blocks.push(Block::Redacted(redacted_reasoning()));
    }
    blocks
}

fn text(model: &str, request: &Value, script: &Script, has_calls: bool) -> String {
    if let Some(say) = &script.say {
        return say.clone();
    }
    if script.show {
        return show(model, request).to_string();
    }
    if let Some(schema) = output_schema(request)
        && script.text.is_empty() == has_calls
    {
        return instance(&schema, &schema, 0).to_string();
    }
    let mut lines = Vec::new();
    if !script.text.is_empty() {
        lines.push(script.text.clone());
    }
    lines.extend(last_user_extras(request));
    if lines.is_empty() && !has_calls {
        lines.push("(nothing to echo)".to_owned());
    }
    lines.join("\n")
}

/// `@show`: the request without its messages, and the roles and block types of the messages.
fn show(model: &str, request: &Value) -> Value {
    let mut shown = Map::new();
    shown.insert("model".to_owned(), json!(model));
    for (name, value) in request.as_object().into_iter().flatten() {
        if name != "messages" {
            shown.insert(name.clone(), value.clone());
        }
    }
    let messages = request.get("messages").and_then(Value::as_array);
    let turns: Vec<String> = messages
        .into_iter()
        .flatten()
        .map(|message| {
            let kinds: Vec<&str> = message
                .get("content")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(|block| block.as_object()?.keys().next().map(String::as_str))
                .collect();
            let role = message
                .get("role")
                .and_then(Value::as_str)
                .unwrap_or_default();
            format!("{role}: {}", kinds.join(" "))
        })
        .collect();
    shown.insert("turns".to_owned(), json!(turns));
    Value::Object(shown)
}

/// A tool choice that requires a call.
pub(super) enum Forced<'a> {
    Any,
    Named(&'a str),
}

/// The required tool, from Converse's field or from Claude's additional field.
pub(super) fn forced_tool(request: &Value) -> Option<Forced<'_>> {
    if let Some(choice) = request.pointer("/toolConfig/toolChoice") {
        let named = choice.pointer("/tool/name").and_then(Value::as_str);
        return match named {
            Some(name) => Some(Forced::Named(name)),
            None => choice.get("any").map(|_| Forced::Any),
        };
    }
    let choice = request.pointer("/additionalModelRequestFields/tool_choice")?;
    match choice.get("type").and_then(Value::as_str) {
        Some("tool") => Some(Forced::Named(choice.get("name")?.as_str()?)),
        Some("any") => Some(Forced::Any),
        _ => None,
    }
}

/// The tool calls that `toolChoice` requires, if the script has none.
fn forced_calls(request: &Value, script: &Script) -> Option<Vec<ToolCall>> {
    if !script.tools.is_empty() {
        return None;
    }
    let tools = request.pointer("/toolConfig/tools")?.as_array()?;
    let wanted = forced_tool(request)?;
    let spec = tools
        .iter()
        .filter_map(|tool| tool.get("toolSpec"))
        .find(|spec| match wanted {
            Forced::Any => true,
            Forced::Named(name) => spec.get("name").and_then(Value::as_str) == Some(name),
        })?;
    let schema = spec
        .pointer("/inputSchema/json")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let name = spec
        .get("name")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    Some(vec![ToolCall {
        name,
        input: instance(&schema, &schema, 0),
    }])
}

/// The schema of a structured output: Converse's, or Claude's own among the additional fields.
pub(super) fn output_schema(request: &Value) -> Option<Value> {
    let own = request.pointer("/additionalModelRequestFields/output_config/format/schema");
    if let Some(schema) = own {
        return Some(schema.clone());
    }
    let schema = request
        .pointer("/outputConfig/textFormat/structure/jsonSchema/schema")?
        .as_str()?;
    serde_json::from_str(schema).ok()
}

/// The smallest JSON that matches a schema; deterministic.
pub(super) fn instance(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > 8 {
        return Value::Null;
    }
    if let Some(pointer) = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|r| r.strip_prefix('#'))
    {
        return root
            .pointer(pointer)
            .map_or(Value::Null, |s| instance(s, root, depth + 1));
    }
    if let Some(value) = schema.get("const") {
        return value.clone();
    }
    if let Some(value) = schema.pointer("/enum/0") {
        return value.clone();
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema.get(name).and_then(|list| list.get(0)) {
            return instance(first, root, depth + 1);
        }
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ => "null",
    };
    match kind {
        "object" => {
            let mut object = Map::new();
            let properties = schema.get("properties").and_then(Value::as_object);
            let required = schema.get("required").and_then(Value::as_array);
            for (name, property) in properties.into_iter().flatten() {
                if required.is_none_or(|list| list.iter().any(|one| one == name)) {
                    object.insert(name.clone(), instance(property, root, depth + 1));
                }
            }
            Value::Object(object)
        }
        "array" => {
            json!([schema
                .get("items")
                .map_or(Value::Null, |s| instance(s, root, depth + 1))])
        }
        "string" => json!("text"),
        "integer" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1)),
        "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(1.5)),
        "boolean" => json!(true),
        _ => Value::Null,
    }
}

fn stop_at_sequence(reply: &mut Reply, request: &Value) {
    let sequences: Vec<&str> = request
        .pointer("/inferenceConfig/stopSequences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|sequence| !sequence.is_empty())
        .collect();
    let mut kept = Vec::new();
    for block in std::mem::take(&mut reply.blocks) {
        if let Block::Text(text) = &block {
            let first = sequences
                .iter()
                .filter_map(|sequence| text.find(sequence).map(|at| (at, *sequence)))
                .min_by_key(|(at, _)| *at);
            if let Some((at, sequence)) = first {
                kept.push(Block::Text(text.get(..at).unwrap_or_default().to_owned()));
                "stop_sequence".clone_into(&mut reply.stop_reason);
                reply.stop_sequence = Some(sequence.to_owned());
                break;
            }
        }
        kept.push(block);
    }
    reply.blocks = kept;
}

fn stop_at_maximum(reply: &mut Reply, request: &Value) {
    let maximum = request
        .pointer("/inferenceConfig/maxTokens")
        .and_then(Value::as_u64)
        .and_then(|maximum| usize::try_from(maximum).ok())
        .unwrap_or(usize::MAX);
    let mut left = maximum;
    let mut kept = Vec::new();
    for mut block in std::mem::take(&mut reply.blocks) {
        let needed = block.tokens();
        if needed <= left {
            left -= needed;
            reply.output_tokens += needed;
            kept.push(block);
            continue;
        }
        "max_tokens".clone_into(&mut reply.stop_reason);
        reply.stop_sequence = None;
        if left > 0 {
            match &mut block {
                Block::Text(text)
                | Block::Reasoning { text, .. }
                | Block::ToolUse { input: text, .. } => *text = first_tokens(text, left),
                Block::Redacted(_) => {}
            }
            // A truncated reasoning block is not signed.
            if let Block::Reasoning { signature, .. } = &mut block {
                *signature = None;
            }
            reply.output_tokens += left;
            kept.push(block);
        }
        break;
    }
    reply.blocks = kept;
}

#[cfg(test)]
mod tests;
