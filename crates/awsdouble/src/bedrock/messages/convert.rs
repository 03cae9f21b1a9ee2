//! Converts an Anthropic request to a conversation in Converse's format. Only the fields that scripts, token counts
//! and guardrails use are converted.

use serde_json::{Map, Value, json};

use super::super::json::{list, text};

pub(super) fn conversation(body: &Value) -> Value {
    let mut out = Map::new();
    out.insert("messages".to_owned(), messages(body));
    let system = match body.get("system") {
        Some(Value::String(text)) => vec![json!({ "text": text })],
        Some(Value::Array(parts)) => parts.iter().flat_map(blocks).collect(),
        _ => Vec::new(),
    };
    out.insert("system".to_owned(), json!(system));
    let mut config = Map::new();
    for (from, to) in [
        ("max_tokens", "maxTokens"),
        ("temperature", "temperature"),
        ("top_p", "topP"),
        ("stop_sequences", "stopSequences"),
    ] {
        if let Some(value) = body.get(from) {
            config.insert(to.to_owned(), value.clone());
        }
    }
    out.insert("inferenceConfig".to_owned(), Value::Object(config));
    if let Some(tools) = tools(body) {
        out.insert("toolConfig".to_owned(), tools);
    }
    if let Some(schema) = body.pointer("/output_config/format/schema") {
        out.insert(
            "outputConfig".to_owned(),
            json!({ "textFormat": { "type": "json_schema", "structure": {
                "jsonSchema": { "schema": schema.to_string() } } } }),
        );
    }
    let mut additional = Map::new();
    for name in ["thinking", "top_k"] {
        if let Some(value) = body.get(name) {
            additional.insert(name.to_owned(), value.clone());
        }
    }
    out.insert(
        "additionalModelRequestFields".to_owned(),
        Value::Object(additional),
    );
    Value::Object(out)
}

/// Merges consecutive messages of the same role.
fn messages(body: &Value) -> Value {
    let mut turns: Vec<(String, Vec<Value>)> = Vec::new();
    for message in list(body, "messages") {
        let role = text(message, "role").unwrap_or_default();
        let content: Vec<Value> = match message.get("content") {
            Some(Value::String(text)) => vec![json!({ "text": text })],
            Some(Value::Array(parts)) => parts.iter().flat_map(blocks).collect(),
            _ => Vec::new(),
        };
        match turns.last_mut() {
            Some((before, all)) if before == role => all.extend(content),
            _ => turns.push((role.to_owned(), content)),
        }
    }
    turns
        .into_iter()
        .map(|(role, content)| json!({ "role": role, "content": content }))
        .collect()
}

/// Converts a block and its cache point, if any. A point within a tool result is converted to one after it.
fn blocks(part: &Value) -> Vec<Value> {
    let mut blocks = vec![block(part)];
    let within = || list(part, "content").iter().rev().find_map(point);
    blocks.extend(point(part).or_else(within));
    blocks
}

/// The cache point of a block or tool.
fn point(part: &Value) -> Option<Value> {
    let control = part.get("cache_control").filter(|one| !one.is_null())?;
    let mut point = json!({ "type": "default" });
    if let (Some(ttl), Some(object)) = (control.get("ttl"), point.as_object_mut()) {
        object.insert("ttl".to_owned(), ttl.clone());
    }
    Some(json!({ "cachePoint": point }))
}

fn block(part: &Value) -> Value {
    let field = |name: &str| part.get(name).cloned().unwrap_or(Value::Null);
    match text(part, "type").unwrap_or_default() {
        "text" => json!({ "text": field("text") }),
        "image" | "document" => media(part),
        "tool_use" => json!({ "toolUse": { "toolUseId": field("id"), "name": field("name"),
            "input": field("input") } }),
        "tool_result" => {
            let content: Vec<Value> = match part.get("content") {
                Some(Value::String(text)) => vec![json!({ "text": text })],
                Some(Value::Array(parts)) => parts.iter().map(block).collect(),
                _ => Vec::new(),
            };
            let failed = part.get("is_error") == Some(&Value::Bool(true));
            json!({ "toolResult": { "toolUseId": field("tool_use_id"), "content": content,
                "status": if failed { "error" } else { "success" } } })
        }
        "thinking" => json!({ "reasoningContent": { "reasoningText": {
            "text": field("thinking"), "signature": field("signature") } } }),
        "redacted_thinking" => json!({ "reasoningContent": { "redactedContent": field("data") } }),
        other => json!({ other: part }),
    }
}

fn media(part: &Value) -> Value {
    let kind = text(part, "type").unwrap_or_default();
    let source = part.get("source").unwrap_or(&Value::Null);
    let format = match text(source, "media_type").and_then(|kind| kind.split_once('/')) {
        Some((_, "plain")) | None => "txt",
        Some((_, format)) => format,
    };
    let source = match text(source, "type") {
        Some("base64") => json!({ "bytes": source.get("data") }),
        _ => json!({ "text": source.get("data").or_else(|| source.get("content")) }),
    };
    let mut media = json!({ "format": format, "source": source });
    if let (Some(title), Some(object)) = (part.get("title"), media.as_object_mut()) {
        object.insert("name".to_owned(), title.clone());
    }
    json!({ kind: media })
}

fn tools(body: &Value) -> Option<Value> {
    let mut tools = Vec::new();
    for tool in list(body, "tools") {
        let schema = tool
            .get("input_schema")
            .cloned()
            .unwrap_or_else(|| json!({ "type": "object" }));
        tools.push(
            json!({ "toolSpec": { "name": tool.get("name"), "description": tool.get("description"),
                "inputSchema": { "json": schema } } }),
        );
        tools.extend(point(tool));
    }
    if tools.is_empty() {
        return None;
    }
    let mut config = json!({ "tools": tools });
    let choice = body.get("tool_choice");
    let choice = match choice.and_then(|choice| text(choice, "type")) {
        Some("any") => Some(json!({ "any": {} })),
        Some("tool") => choice.map(|choice| json!({ "tool": { "name": choice.get("name") } })),
        _ => None,
    };
    if let (Some(choice), Some(object)) = (choice, config.as_object_mut()) {
        object.insert("toolChoice".to_owned(), choice);
    }
    Some(config)
}
