//! Validates a request like Claude: unknown and missing fields, sampling, roles, blank text, matching tool calls and
//! results.

use serde_json::Value;

use super::super::catalog::{Rules, Target};
use super::super::claude;
use super::super::json::{list, text, unknown_key};
use super::{Check, Origin, blocks, extra, reject, required, tools};

/// Bedrock's version, and those of Anthropic's API, which Anthropic's Bedrock clients send since their version 2.
const VERSIONS: [&str; 3] = ["bedrock-2023-05-31", "2023-06-01", "2026-10-21"];

const FIELDS: [&str; 11] = [
    "max_tokens",
    "messages",
    "metadata",
    "stop_sequences",
    "system",
    "temperature",
    "thinking",
    "tool_choice",
    "tools",
    "top_k",
    "top_p",
];

pub(super) fn check(body: &Value, target: &Target, origin: Origin) -> Check {
    let rules = &target.model.family.rules;
    fields(body, rules, origin)?;
    if let Some(flags) = body.get("anthropic_beta") {
        claude::beta_flags(flags, rules).or_else(reject)?;
    }
    sampling(body, rules)?;
    system(body)?;
    messages(body, rules)?;
    claude::lifetimes(lifetimes(body)).or_else(reject)?;
    tools::check(body, rules)?;
    let points = cache_points(body);
    if points > 4 {
        return reject(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {points}."
        ));
    }
    Ok(())
}

/// Whether a request enables a beta feature.
pub(super) fn has_beta(body: &Value, prefix: &str) -> bool {
    list(body, "anthropic_beta")
        .iter()
        .any(|flag| flag.as_str().is_some_and(|flag| flag.starts_with(prefix)))
}

fn fields(body: &Value, rules: &Rules, origin: Origin) -> Check {
    let mut known = FIELDS.to_vec();
    known.extend(match origin {
        Origin::InvokeModel => ["anthropic_version", "anthropic_beta"].as_slice(),
        Origin::MessagesEndpoint => &["model", "stream", "anthropic_beta"],
    });
    if rules
        .additional_fields
        .iter()
        .any(|one| one == "output_config")
    {
        known.push("output_config");
    }
    if has_beta(body, "context-management-") {
        known.push("context_management");
    }
    if let Some(name) = unknown_key(body, &known) {
        return extra(name);
    }
    if origin == Origin::InvokeModel {
        match text(body, "anthropic_version") {
            None => return required("anthropic_version"),
            Some(version) if VERSIONS.contains(&version) => {}
            Some(_) => return reject("anthropic_version: Input should be 'bedrock-2023-05-31'"),
        }
    }
    for name in ["max_tokens", "messages"] {
        if body.get(name).is_none() {
            return required(name);
        }
    }
    if let Some(config) = body.get("output_config") {
        if let Some(name) = unknown_key(config, &["effort", "format"]) {
            return extra(&format!("output_config.{name}"));
        }
        let format = config.get("format");
        if format.is_some() && !rules.structured_output {
            return extra("output_config.format");
        }
        let schema = format.and_then(|format| format.get("schema"));
        if let Some(schema) = schema {
            let path = "output_config.format.schema";
            claude::schema::exact(schema, path, rules).or_else(reject)?;
        }
        claude::effort(Some(config), body.get("anthropic_beta"), rules).or_else(reject)?;
    }
    if let Some(name) = body
        .get("metadata")
        .and_then(|m| unknown_key(m, &["user_id"]))
    {
        return extra(&format!("metadata.{name}"));
    }
    Ok(())
}

fn sampling(body: &Value, rules: &Rules) -> Check {
    match body.get("max_tokens").and_then(Value::as_u64) {
        None => return reject("max_tokens: Input should be a valid integer"),
        Some(0) => return reject("max_tokens: Input should be greater than or equal to 1"),
        Some(maximum) if maximum > rules.max_tokens => {
            return reject(format!(
                "max_tokens: {maximum} > {}, which is the maximum allowed number of output tokens for this model",
                rules.max_tokens
            ));
        }
        Some(_) => {}
    }
    for name in ["temperature", "top_p"] {
        let Some(value) = body.get(name) else {
            continue;
        };
        let Some(number) = value.as_f64() else {
            return reject(format!("{name}: Input should be a valid number"));
        };
        if number > 1.0 {
            return reject(format!("{name}: range: 0..1"));
        }
        if number < 0.0 {
            return reject(format!(
                "{name}: Input should be greater than or equal to 0"
            ));
        }
    }
    let thinks = claude::thinks(body.get("thinking"));
    for name in ["temperature", "top_p", "top_k"] {
        claude::sampling(name, body.get(name), thinks, rules).or_else(reject)?;
    }
    let both = body.get("temperature").is_some() && body.get("top_p").is_some();
    if both && rules.one_of_temperature_and_top_p {
        return reject(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        );
    }
    for sequence in list(body, "stop_sequences") {
        if sequence.as_str().is_none_or(|text| text.trim().is_empty()) {
            return reject("stop_sequences: each stop sequence must contain non-whitespace");
        }
    }
    Ok(())
}

fn system(body: &Value) -> Check {
    match body.get("system") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => {
            for (index, part) in parts.iter().enumerate() {
                let path = format!("system.{index}");
                blocks::text_block(part, &path, "system")?;
            }
            Ok(())
        }
        Some(_) => reject("system: Input should be a valid list"),
    }
}

fn messages(body: &Value, rules: &Rules) -> Check {
    let Some(messages) = body.get("messages").and_then(Value::as_array) else {
        return reject("messages: Input should be a valid list");
    };
    if messages.is_empty() {
        return reject("messages: at least one message is required");
    }
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages.{index}");
        if let Some(name) = unknown_key(message, &["role", "content"]) {
            return extra(&format!("{path}.{name}"));
        }
        match text(message, "role") {
            Some("user" | "assistant") => {}
            Some("system") if rules.system_role => {}
            // Rule system-role.
            Some("system") => {
                return reject(
                    "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.",
                );
            }
            _ => {
                return reject(format!(
                    "{path}.role: Input should be 'user' or 'assistant'"
                ));
            }
        }
        let last = index + 1 == messages.len();
        content(body, message, &path, last)?;
    }
    pairs(messages)?;
    prefill(messages.last(), rules)
}

fn content(body: &Value, message: &Value, path: &str, last: bool) -> Check {
    let assistant = text(message, "role") == Some("assistant");
    let empty = match message.get("content") {
        None => return required(&format!("{path}.content")),
        Some(Value::String(text)) => {
            if !text.is_empty() && text.trim().is_empty() {
                return reject("messages: text content blocks must contain non-whitespace text");
            }
            text.is_empty()
        }
        Some(Value::Array(parts)) => {
            for (index, part) in parts.iter().enumerate() {
                let path = format!("{path}.content.{index}");
                blocks::content_block(part, &path, assistant)?;
                tool_references(body, part, &path)?;
            }
            if assistant
                && let Some(kind) = parts.last().and_then(|part| text(part, "type"))
                && ["thinking", "redacted_thinking"].contains(&kind)
            {
                return reject(format!(
                    "{path}: The final block in an assistant message cannot be `{kind}`."
                ));
            }
            parts.is_empty()
        }
        Some(_) => return reject(format!("{path}.content: Input should be a valid list")),
    };
    if empty && !(assistant && last) {
        return reject(format!(
            "{path}: all messages must have non-empty content except for the optional final assistant message"
        ));
    }
    Ok(())
}

/// References to tools in a result require the beta flag of the tool search.
fn tool_references(body: &Value, part: &Value, path: &str) -> Check {
    for (index, content) in list(part, "content").iter().enumerate() {
        if text(content, "type") == Some("tool_reference") && !has_beta(body, "tool-search-tool-") {
            return reject(format!(
                "{path}.tool_result.content.{index}: Input tag 'tool_reference' found using 'type' does not match any of the expected tags: 'document', 'image', 'search_result', 'text'"
            ));
        }
    }
    Ok(())
}

fn prefill(last: Option<&Value>, rules: &Rules) -> Check {
    let Some(message) = last.filter(|message| text(message, "role") == Some("assistant")) else {
        return Ok(());
    };
    if !rules.prefill {
        return reject(
            "This model does not support assistant message prefill. The conversation must end with a user message.",
        );
    }
    let ending = match message.get("content") {
        Some(Value::String(text)) => Some(text.as_str()),
        Some(Value::Array(parts)) => parts.last().and_then(|part| text(part, "text")),
        _ => None,
    };
    if ending.is_some_and(|text| text.ends_with(char::is_whitespace)) {
        return reject("messages: final assistant content cannot end with trailing whitespace");
    }
    Ok(())
}

/// Every tool call must have its result at the start of the next message.
fn pairs(messages: &[Value]) -> Check {
    let mut seen: Vec<&str> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| messages.get(before));
        let calls = before.map_or_else(Vec::new, |message| ids(message, "tool_use", "id"));
        for (b, block) in list(message, "content").iter().enumerate() {
            if text(block, "type") != Some("tool_result") {
                continue;
            }
            let id = text(block, "tool_use_id").unwrap_or_default();
            if !calls.contains(&id) {
                return reject(format!(
                    "messages.{index}.content.{b}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
                ));
            }
        }
        for id in ids(message, "tool_use", "id") {
            if seen.contains(&id) {
                return reject("messages: `tool_use` ids must be unique");
            }
            seen.push(id);
        }
        if calls.is_empty() {
            continue;
        }
        let first: Vec<&str> = list(message, "content")
            .iter()
            .take_while(|block| text(block, "type") == Some("tool_result"))
            .filter_map(|block| text(block, "tool_use_id"))
            .collect();
        unanswered(index - 1, &calls, &first)?;
    }
    if let Some(last) = messages.last() {
        unanswered(messages.len() - 1, &ids(last, "tool_use", "id"), &[])?;
    }
    Ok(())
}

fn unanswered(index: usize, calls: &[&str], results: &[&str]) -> Check {
    let missing: Vec<&str> = calls
        .iter()
        .filter(|id| !results.contains(id))
        .copied()
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    reject(format!(
        "messages.{index}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
        missing.join(", ")
    ))
}

fn ids<'a>(message: &'a Value, kind: &str, name: &str) -> Vec<&'a str> {
    list(message, "content")
        .iter()
        .filter(|block| text(block, "type") == Some(kind))
        .filter_map(|block| text(block, name))
        .collect()
}

/// The lifetimes of all cache points, in the order in which the model processes them.
fn lifetimes(body: &Value) -> Vec<(String, Option<&str>)> {
    let mut found: Vec<(String, Option<&str>)> = ["tools", "system"]
        .into_iter()
        .flat_map(|name| lifetimes_of(name, list(body, name)))
        .collect();
    for (m, message) in list(body, "messages").iter().enumerate() {
        let path = format!("messages.{m}.content");
        found.extend(lifetimes_of(&path, list(message, "content")));
    }
    found
}

fn lifetimes_of<'a>(path: &str, blocks: &'a [Value]) -> Vec<(String, Option<&'a str>)> {
    let controls = blocks.iter().enumerate().filter_map(|(index, block)| {
        let control = block.get("cache_control").filter(|one| !one.is_null())?;
        Some((format!("{path}.{index}"), text(control, "ttl")))
    });
    controls.collect()
}

fn cache_points(body: &Value) -> usize {
    let marked = |block: &&Value| block.get("cache_control").is_some_and(|one| !one.is_null());
    let messages = list(body, "messages")
        .iter()
        .flat_map(|message| list(message, "content"));
    let inside = list(body, "messages")
        .iter()
        .flat_map(|message| list(message, "content"))
        .flat_map(|block| list(block, "content"));
    list(body, "system")
        .iter()
        .chain(list(body, "tools"))
        .chain(messages)
        .chain(inside)
        .filter(marked)
        .count()
}
