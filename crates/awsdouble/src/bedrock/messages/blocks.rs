//! Validates content blocks like Claude: unknown types and fields, blank text, invalid signatures, invalid media.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::claude;
use super::super::json::{text, unknown_key};
use super::super::reply::{reasoning_signature, redacted_reasoning};
use super::{Check, extra, reject, required};

/// Block types with their fields, except `type`.
const USER: [(&str, &[&str]); 5] = [
    (
        "document",
        &["source", "title", "context", "citations", "cache_control"],
    ),
    ("image", &["source", "cache_control"]),
    (
        "search_result",
        &["source", "title", "content", "citations", "cache_control"],
    ),
    ("text", &["text", "citations", "cache_control"]),
    (
        "tool_result",
        &["tool_use_id", "content", "is_error", "cache_control"],
    ),
];
const ASSISTANT: [(&str, &[&str]); 4] = [
    ("redacted_thinking", &["data"]),
    ("text", &["text", "citations", "cache_control"]),
    ("thinking", &["thinking", "signature"]),
    ("tool_use", &["id", "name", "input", "cache_control"]),
];

pub(super) fn content_block(block: &Value, path: &str, assistant: bool) -> Check {
    let kinds: &[(&str, &[&str])] = if assistant { &ASSISTANT } else { &USER };
    let kind = text(block, "type").unwrap_or_default();
    let Some((_, fields)) = kinds.iter().find(|(name, _)| *name == kind) else {
        let known = |list: &[(&str, &[&str])]| list.iter().any(|(name, _)| *name == kind);
        if known(&USER) || known(&ASSISTANT) {
            let role = if assistant { "assistant" } else { "user" };
            return reject(format!(
                "messages: `{kind}` blocks are not permitted in {role} messages"
            ));
        }
        let expected: Vec<String> = kinds.iter().map(|(name, _)| format!("'{name}'")).collect();
        return reject(format!(
            "{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: {}",
            expected.join(", ")
        ));
    };
    let mut known = vec!["type"];
    known.extend_from_slice(fields);
    if let Some(name) = unknown_key(block, &known) {
        return extra(&format!("{path}.{kind}.{name}"));
    }
    cache_control(block, path)?;
    match kind {
        "text" => not_blank(block, path, "messages"),
        "image" => image(block, path),
        "document" => document(block, path),
        "tool_use" => tool_use(block, path),
        "tool_result" => tool_result(block, path),
        "thinking" => thinking(block, path),
        "redacted_thinking" if text(block, "data") != Some(redacted_reasoning().as_str()) => {
            reject(format!(
                "{path}: Invalid `data` in `redacted_thinking` block"
            ))
        }
        _ => Ok(()),
    }
}

/// Validates a block that must be text.
pub(super) fn text_block(block: &Value, path: &str, place: &str) -> Check {
    if text(block, "type") != Some("text") {
        return reject(format!("{path}.type: Input should be 'text'"));
    }
    if let Some(name) = unknown_key(block, &["type", "text", "citations", "cache_control"]) {
        return extra(&format!("{path}.{name}"));
    }
    cache_control(block, path)?;
    not_blank(block, path, place)
}

fn not_blank(block: &Value, path: &str, place: &str) -> Check {
    match text(block, "text") {
        None => required(&format!("{path}.text.text")),
        Some("") => reject(format!("{place}: text content blocks must be non-empty")),
        Some(text) if text.trim().is_empty() => reject(format!(
            "{place}: text content blocks must contain non-whitespace text"
        )),
        Some(_) => Ok(()),
    }
}

pub(super) fn cache_control(block: &Value, path: &str) -> Check {
    let Some(control) = block.get("cache_control").filter(|one| !one.is_null()) else {
        return Ok(());
    };
    let path = format!("{path}.cache_control");
    if text(control, "type") != Some("ephemeral") {
        return reject(format!("{path}.type: Input should be 'ephemeral'"));
    }
    if let Some(name) = unknown_key(control, &["type", "ttl"]) {
        return extra(&format!("{path}.ephemeral.{name}"));
    }
    match text(control, "ttl") {
        None | Some("5m" | "1h") => Ok(()),
        Some(_) => reject(format!(
            "{path}.ephemeral.ttl: Input should be '5m' or '1h'"
        )),
    }
}

/// Validates an image; Bedrock accepts bytes only, not URLs.
fn image(block: &Value, path: &str) -> Check {
    let source = block.get("source").unwrap_or(&Value::Null);
    if text(source, "type") != Some("base64") {
        return reject(format!(
            "{path}.image.source.type: Input should be 'base64'"
        ));
    }
    let kinds = ["image/jpeg", "image/png", "image/gif", "image/webp"];
    if !text(source, "media_type").is_some_and(|kind| kinds.contains(&kind)) {
        return reject(format!(
            "{path}.image.source.base64.media_type: Input should be 'image/jpeg', 'image/png', 'image/gif' or 'image/webp'"
        ));
    }
    let data = text(source, "data").unwrap_or_default();
    if data.is_empty() || STANDARD.decode(data).is_err() {
        return reject(format!(
            "{path}.image.source.base64: The image was specified using the wrong encoding: data is not valid base64"
        ));
    }
    let declared = text(source, "media_type").unwrap_or_default();
    claude::image_label(declared, data, &format!("{path}.image.source.base64")).or_else(reject)
}

fn document(block: &Value, path: &str) -> Check {
    let source = block.get("source").unwrap_or(&Value::Null);
    match text(source, "type") {
        Some("base64") => {
            let data = text(source, "data").unwrap_or_default();
            if data.is_empty() || STANDARD.decode(data).is_err() {
                return reject(format!(
                    "{path}.document.source.base64: data is not valid base64"
                ));
            }
            Ok(())
        }
        Some("text" | "content") => Ok(()),
        _ => reject(format!(
            "{path}.document.source: Input tag '{}' found using 'type' does not match any of the expected tags: 'base64', 'content', 'text'",
            text(source, "type").unwrap_or_default()
        )),
    }
}

fn tool_use(block: &Value, path: &str) -> Check {
    let id = text(block, "id").unwrap_or_default();
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if id.is_empty() || !id.chars().all(legal) {
        return reject(format!(
            "{path}.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"
        ));
    }
    super::tools::name(text(block, "name"), &format!("{path}.tool_use.name"), 200)?;
    if !block.get("input").is_some_and(Value::is_object) {
        return reject(format!(
            "{path}.tool_use.input: Input should be a valid dictionary"
        ));
    }
    Ok(())
}

fn tool_result(block: &Value, path: &str) -> Check {
    if text(block, "tool_use_id").is_none() {
        return required(&format!("{path}.tool_result.tool_use_id"));
    }
    match block.get("content") {
        None | Some(Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => {
            for (index, part) in parts.iter().enumerate() {
                let path = format!("{path}.tool_result.content.{index}");
                match text(part, "type") {
                    Some("text") if text(part, "text") == Some("") => {
                        return reject("messages: text content blocks must be non-empty");
                    }
                    // With a beta flag only, which `validate.rs` checks.
                    Some("tool_reference") if text(part, "tool_name").is_some() => {}
                    Some("text" | "image" | "document" | "search_result") => {
                        content_block(part, &path, false)?;
                    }
                    other => {
                        return reject(format!(
                            "{path}: Input tag '{}' found using 'type' does not match any of the expected tags: 'document', 'image', 'search_result', 'text'",
                            other.unwrap_or_default()
                        ));
                    }
                }
            }
            Ok(())
        }
        Some(_) => reject(format!(
            "{path}.tool_result.content: Input should be a valid list"
        )),
    }
}

/// Validates the signature of a thinking block.
fn thinking(block: &Value, path: &str) -> Check {
    let Some(given) = text(block, "signature") else {
        return required(&format!("{path}.thinking.signature"));
    };
    if text(block, "thinking").is_some_and(|text| given == reasoning_signature(text)) {
        return Ok(());
    }
    reject(format!("{path}: Invalid `signature` in `thinking` block"))
}
