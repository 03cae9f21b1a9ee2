//! Converts a Chat Completions request to a conversation in Converse's format. Other fields are accepted and ignored.

use serde_json::{Map, Value, json};

use super::super::json::{list, text};
use crate::error::AwsError;

fn rejected(message: impl Into<String>) -> AwsError {
    AwsError::validation(message)
}

pub(in crate::bedrock) fn conversation(body: &Value) -> Result<Value, AwsError> {
    let mut out = Map::new();
    let (system, messages) = messages(body)?;
    out.insert("messages".to_owned(), json!(messages));
    out.insert("system".to_owned(), json!(system));
    let mut config = Map::new();
    let maximum = body
        .get("max_completion_tokens")
        .or_else(|| body.get("max_tokens"))
        .filter(|maximum| !maximum.is_null());
    if let Some(maximum) = maximum {
        if maximum.as_u64().is_none_or(|maximum| maximum == 0) {
            return Err(rejected(format!(
                "max_completion_tokens: {maximum} is not a positive integer"
            )));
        }
        config.insert("maxTokens".to_owned(), maximum.clone());
    }
    match body.get("stop") {
        Some(Value::String(stop)) => {
            config.insert("stopSequences".to_owned(), json!([stop]));
        }
        Some(Value::Array(stops)) => {
            config.insert("stopSequences".to_owned(), json!(stops));
        }
        _ => {}
    }
    out.insert("inferenceConfig".to_owned(), Value::Object(config));
    let tools: Vec<Value> = list(body, "tools")
        .iter()
        .filter_map(|tool| tool.get("function"))
        .map(tool)
        .collect();
    if !tools.is_empty() {
        let choice = tool_choice(body.get("tool_choice"), "/function/name");
        out.insert(
            "toolConfig".to_owned(),
            json!({ "tools": tools, "toolChoice": choice }),
        );
    }
    if let Some(schema) = body.pointer("/response_format/json_schema/schema") {
        out.insert("outputConfig".to_owned(), output(schema));
    }
    Ok(Value::Object(out))
}

fn tool(function: &Value) -> Value {
    let schema = function
        .get("parameters")
        .cloned()
        .unwrap_or_else(|| json!({ "type": "object" }));
    json!({ "toolSpec": { "name": function.get("name"), "inputSchema": { "json": schema } } })
}

fn output(schema: &Value) -> Value {
    json!({ "textFormat": { "type": "json_schema",
        "structure": { "jsonSchema": { "schema": schema.to_string() } } } })
}

/// Converts `required` and a named tool; all other values are `auto`.
pub(in crate::bedrock) fn tool_choice(choice: Option<&Value>, name: &str) -> Value {
    match choice {
        Some(Value::String(word)) if word == "required" => json!({ "any": {} }),
        Some(object) => match object.pointer(name) {
            Some(name) => json!({ "tool": { "name": name } }),
            None => json!({ "auto": {} }),
        },
        None => json!({ "auto": {} }),
    }
}

fn messages(body: &Value) -> Result<(Vec<Value>, Vec<Value>), AwsError> {
    let messages = list(body, "messages");
    if messages.is_empty() {
        return Err(rejected("messages: at least one message is required"));
    }
    let mut system = Vec::new();
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut open: Vec<String> = Vec::new();
    for (index, message) in messages.iter().enumerate() {
        let path = format!("messages[{index}]");
        let mut blocks = content(message.get("content"), &path)?;
        let role = match text(message, "role") {
            // Later ones keep their place.
            Some("system" | "developer") if turns.is_empty() => {
                system.append(&mut blocks);
                continue;
            }
            Some("system" | "developer") => "system",
            Some("user") => "user",
            Some("assistant") => {
                if let Some(thought) =
                    text(message, "reasoning").or_else(|| text(message, "reasoning_content"))
                {
                    blocks.insert(
                        0,
                        json!({ "reasoningContent": { "reasoningText": { "text": thought } } }),
                    );
                }
                for call in list(message, "tool_calls") {
                    let id = text(call, "id").unwrap_or_default();
                    open.push(id.to_owned());
                    blocks.push(json!({ "toolUse": { "toolUseId": id,
                        "name": call.pointer("/function/name"), "input": arguments(call) } }));
                }
                "assistant"
            }
            Some("tool") => {
                let id = text(message, "tool_call_id").unwrap_or_default();
                if !open.iter().any(|known| known == id) {
                    return Err(rejected(
                        "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.",
                    ));
                }
                open.retain(|known| known != id);
                blocks = vec![json!({ "toolResult": { "toolUseId": id, "content": blocks } })];
                "user"
            }
            other => {
                return Err(rejected(format!(
                    "{path}.role: '{}' is not one of ['system', 'assistant', 'user', 'tool', 'developer']",
                    other.unwrap_or_default()
                )));
            }
        };
        match turns.last_mut() {
            Some((before, all)) if *before == role => all.append(&mut blocks),
            _ => turns.push((role, blocks)),
        }
    }
    if !open.is_empty() {
        return Err(rejected(format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
            open.join(", ")
        )));
    }
    let turns = turns
        .into_iter()
        .map(|(role, content)| json!({ "role": role, "content": content }))
        .collect();
    Ok((system, turns))
}

fn arguments(call: &Value) -> Value {
    call.pointer("/function/arguments")
        .and_then(Value::as_str)
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or_else(|| json!({}))
}

/// Converts content, as text or as parts, of Chat Completions or Responses.
pub(in crate::bedrock) fn content(
    content: Option<&Value>,
    path: &str,
) -> Result<Vec<Value>, AwsError> {
    let parts = match content {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![json!({ "text": text })]),
        Some(Value::Array(parts)) => parts,
        Some(_) => return Err(rejected(format!("{path}.content: expected text or parts"))),
    };
    let mut blocks = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        blocks.push(match text(part, "type") {
            Some("text" | "input_text" | "output_text") => json!({ "text": part.get("text") }),
            Some("refusal") => json!({ "text": part.get("refusal") }),
            Some("image_url" | "input_image") => image(part, &format!("{path}.content[{index}]"))?,
            other => {
                return Err(rejected(format!(
                    "{path}.content[{index}].type: '{}' is not supported",
                    other.unwrap_or_default()
                )));
            }
        });
    }
    Ok(blocks)
}

/// Converts an image; supports data URIs only.
fn image(part: &Value, path: &str) -> Result<Value, AwsError> {
    let url = part
        .pointer("/image_url/url")
        .or_else(|| part.get("image_url"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    let data = url
        .strip_prefix("data:image/")
        .and_then(|rest| rest.split_once(";base64,"));
    let Some((format, data)) = data else {
        return Err(rejected(format!(
            "{path}.image_url: only data URIs are supported"
        )));
    };
    Ok(json!({ "image": { "format": format, "source": { "bytes": data } } }))
}
