//! Converts a Responses request to a conversation in Converse's format.

use serde_json::{Map, Value, json};

use super::super::chat::content;
use super::super::json::{list, text};
use super::super::reply::reasoning_signature;
use super::{rejected, tools};
use crate::error::AwsError;

pub(super) fn conversation(body: &Value, model: &str, mantle: bool) -> Result<Value, AwsError> {
    if let Some(id) = text(body, "previous_response_id") {
        return Err(AwsError::new(
            400,
            "PreviousResponseNotFound",
            format!("Previous response with id '{id}' not found."),
        ));
    }
    if !mantle && body.get("background") == Some(&Value::Bool(true)) {
        return Err(rejected("Background inference is not supported"));
    }
    let mut out = Map::new();
    let mut system = Vec::new();
    if let Some(instructions) = text(body, "instructions") {
        system.push(json!({ "text": instructions }));
    }
    let turns = turns(body, &mut system)?;
    out.insert("messages".to_owned(), json!(turns));
    out.insert("system".to_owned(), json!(system));
    let mut config = Map::new();
    if let Some(maximum) = body
        .get("max_output_tokens")
        .filter(|maximum| !maximum.is_null())
    {
        if maximum.as_u64().is_none_or(|maximum| maximum < 16) {
            return Err(rejected(format!(
                "Invalid 'max_output_tokens': integer below minimum value. Expected a value >= 16, but got {maximum} instead."
            )));
        }
        config.insert("maxTokens".to_owned(), maximum.clone());
    }
    out.insert("inferenceConfig".to_owned(), Value::Object(config));
    if let Some(tools) = tools::config(body, model)? {
        out.insert("toolConfig".to_owned(), tools);
    }
    if let Some(schema) = body.pointer("/text/format/schema") {
        out.insert(
            "outputConfig".to_owned(),
            json!({ "textFormat": { "type": "json_schema",
                "structure": { "jsonSchema": { "schema": schema.to_string() } } } }),
        );
    }
    Ok(Value::Object(out))
}

fn turns(body: &Value, system: &mut Vec<Value>) -> Result<Vec<Value>, AwsError> {
    let items = match body.get("input") {
        Some(Value::String(text)) => {
            return Ok(vec![
                json!({ "role": "user", "content": [{ "text": text }] }),
            ]);
        }
        Some(Value::Array(items)) if !items.is_empty() => items,
        _ => return Err(rejected("Missing required parameter: 'input'.")),
    };
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("input[{index}]");
        let (role, mut blocks) = match text(item, "type").unwrap_or("message") {
            "message" => {
                let blocks = content(item.get("content"), &path)?;
                match text(item, "role") {
                    // Later ones keep their place.
                    Some("system" | "developer") if turns.is_empty() => {
                        system.extend(blocks);
                        continue;
                    }
                    Some("system" | "developer") => ("system", blocks),
                    Some("assistant") => ("assistant", blocks),
                    Some("user") => ("user", blocks),
                    other => {
                        return Err(rejected(format!(
                            "Invalid value: '{}'. Supported values are: 'assistant', 'system', 'developer', and 'user'.",
                            other.unwrap_or_default()
                        )));
                    }
                }
            }
            "reasoning" => ("assistant", reasoning(item)?),
            "function_call" => {
                let id = text(item, "call_id").unwrap_or_default();
                open.push(id);
                let input: Value = text(item, "arguments")
                    .and_then(|text| serde_json::from_str(text).ok())
                    .unwrap_or_else(|| json!({}));
                let name = text(item, "name").unwrap_or_default();
                let name = tools::joined(text(item, "namespace"), name);
                let call = json!({ "toolUse": { "toolUseId": id, "name": name,
                    "input": input } });
                ("assistant", vec![call])
            }
            "function_call_output" => {
                let id = text(item, "call_id").unwrap_or_default();
                if !open.contains(&id) {
                    return Err(rejected(format!(
                        "No tool call found for function call output with call_id {id}."
                    )));
                }
                open.retain(|known| *known != id);
                let blocks = content(item.get("output"), &path)?;
                let result = json!({ "toolResult": { "toolUseId": id, "content": blocks } });
                ("user", vec![result])
            }
            // Rule responses-items.
            _ => {
                return Err(rejected(
                    "invalid request body: Invalid 'input': value did not match any expected variant",
                ));
            }
        };
        match turns.last_mut() {
            Some((before, all)) if *before == role => all.append(&mut blocks),
            _ => turns.push((role, blocks)),
        }
    }
    if let Some(id) = open.first() {
        return Err(rejected(format!(
            "No tool output found for function call {id}."
        )));
    }
    Ok(turns
        .into_iter()
        .map(|(role, content)| json!({ "role": role, "content": content }))
        .collect())
}

/// Converts a reasoning item; encrypted content must be unchanged.
fn reasoning(item: &Value) -> Result<Vec<Value>, AwsError> {
    let summary: String = list(item, "summary")
        .iter()
        .filter_map(|part| text(part, "text"))
        .collect();
    if let Some(content) = text(item, "encrypted_content")
        && content != reasoning_signature(&summary)
    {
        return Err(AwsError::new(
            400,
            "InvalidEncryptedContent",
            format!(
                "The encrypted content for item {} could not be verified.",
                text(item, "id").unwrap_or_default()
            ),
        ));
    }
    Ok(vec![
        json!({ "reasoningContent": { "reasoningText": { "text": summary } } }),
    ])
}
