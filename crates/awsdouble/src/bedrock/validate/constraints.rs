//! The constraints of the service model: JSON types, unions, enumerations, lengths, patterns, ranges.
//! See <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

use serde_json::Value;

use super::{Check, blocks, list, reject, text};
use crate::error::AwsError;

const TOP_LEVEL: [&str; 13] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "promptVariables",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
    "modelId",
];

const BLOCKS: [&str; 12] = [
    "text",
    "image",
    "document",
    "video",
    "audio",
    "toolUse",
    "toolResult",
    "guardContent",
    "cachePoint",
    "reasoningContent",
    "citationsContent",
    "searchResult",
];

const ID: &str = "[a-zA-Z0-9_.:-]+";

pub(super) fn check(request: &Value) -> Check {
    let members = request.as_object().into_iter().flatten();
    for (name, _) in members {
        if !TOP_LEVEL.contains(&name.as_str()) {
            return reject(format!(
                "Malformed input request: extraneous key [{name}] is not permitted, please reformat your input and try again."
            ));
        }
    }
    types(request)?;
    for (m, message) in list(request, "messages").iter().enumerate() {
        let role = text(message, "role").unwrap_or_default();
        if !["user", "assistant", "system"].contains(&role) {
            return constraint(
                role,
                &format!("messages.{}.member.role", m + 1),
                "Member must satisfy enum value set: [user, assistant]",
            );
        }
    }
    for (m, b, block) in blocks(request) {
        union(
            block,
            "ContentBlock",
            &format!("messages.{m}.content.{b}"),
            &BLOCKS,
        )?;
        tool_block(m, b, block)?;
        cache_point(
            block,
            &format!("messages.{}.member.content.{}.member", m + 1, b + 1),
        )?;
    }
    for (index, block) in list(request, "system").iter().enumerate() {
        union(
            block,
            "SystemContentBlock",
            &format!("system.{index}"),
            &["text", "guardContent", "cachePoint"],
        )?;
        cache_point(block, &format!("system.{}.member", index + 1))?;
    }
    metadata(request)?;
    enumeration(
        request,
        "/performanceConfig/latency",
        &["standard", "optimized"],
    )?;
    enumeration(
        request,
        "/serviceTier/type",
        &["priority", "default", "flex", "reserved"],
    )?;
    for (index, path) in list(request, "additionalModelResponseFieldPaths")
        .iter()
        .enumerate()
    {
        if !path.as_str().is_some_and(|path| path.starts_with('/')) {
            return reject(format!(
                "The value at additionalModelResponseFieldPaths.{index} is not a valid JSON Pointer."
            ));
        }
    }
    Ok(())
}

/// The error for a violated constraint, with value and path.
pub(super) fn constraint(value: impl std::fmt::Display, path: &str, rule: &str) -> Check {
    reject(format!(
        "1 validation error detected: Value '{value}' at '{path}' failed to satisfy constraint: {rule}"
    ))
}

/// Validates length and pattern of a tool name or tool use id.
pub(super) fn name(value: &str, path: &str, extra: &str, pattern: &str) -> Check {
    if value.is_empty() {
        return constraint(
            value,
            path,
            "Member must have length greater than or equal to 1",
        );
    }
    if value.chars().count() > 64 {
        return constraint(
            value,
            path,
            "Member must have length less than or equal to 64",
        );
    }
    if !value
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    {
        return constraint(
            value,
            path,
            &format!("Member must satisfy regular expression pattern: {pattern}"),
        );
    }
    Ok(())
}

fn types(request: &Value) -> Check {
    let rows: [(&str, &str); 13] = [
        ("/messages", "List"),
        ("/system", "List"),
        ("/inferenceConfig", "Structure"),
        ("/inferenceConfig/maxTokens", "Integer"),
        ("/inferenceConfig/temperature", "Float"),
        ("/inferenceConfig/topP", "Float"),
        ("/inferenceConfig/stopSequences", "List"),
        ("/toolConfig", "Structure"),
        ("/toolConfig/tools", "List"),
        (
            "/outputConfig/textFormat/structure/jsonSchema/schema",
            "String",
        ),
        ("/requestMetadata", "Map"),
        ("/additionalModelResponseFieldPaths", "List"),
        ("/guardrailConfig", "Structure"),
    ];
    for (pointer, wanted) in rows {
        if let Some(value) = request.pointer(pointer) {
            typed(value, wanted)?;
        }
    }
    for sequence in request
        .pointer("/inferenceConfig/stopSequences")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
    {
        typed(sequence, "String")?;
    }
    for message in list(request, "messages") {
        typed(message, "Structure")?;
        typed(message.get("role").unwrap_or(&Value::Null), "String")?;
        typed(message.get("content").unwrap_or(&Value::Null), "List")?;
    }
    for (_, _, block) in blocks(request) {
        typed(block, "Structure")?;
        if let Some(text) = block.get("text") {
            typed(text, "String")?;
        }
    }
    for block in list(request, "system") {
        typed(block, "Structure")?;
    }
    Ok(())
}

/// Checks the JSON type of a value.
fn typed(value: &Value, wanted: &str) -> Check {
    let fits = match wanted {
        "List" => value.is_array(),
        "Structure" | "Map" => value.is_object(),
        "String" => value.is_string(),
        "Integer" => value.is_i64() || value.is_u64(),
        _ => value.is_number(),
    };
    if fits {
        return Ok(());
    }
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    let article = if wanted == "Integer" { "an" } else { "a" };
    Err(AwsError::new(
        400,
        "SerializationException",
        format!("{found} can not be converted to {article} {wanted}"),
    ))
}

/// Checks that exactly one member of a union is set.
pub(super) fn union(block: &Value, shape: &str, path: &str, keys: &[&str]) -> Check {
    let set = block.as_object().map_or(0, |object| {
        object
            .iter()
            .filter(|(key, value)| keys.contains(&key.as_str()) && !value.is_null())
            .count()
    });
    if set == 1 {
        return Ok(());
    }
    reject(format!(
        "The {shape} object at {path} must set one of the following keys: {}.",
        keys.join(", ")
    ))
}

fn tool_block(m: usize, b: usize, block: &Value) -> Check {
    let path = format!("messages.{}.member.content.{}.member", m + 1, b + 1);
    if let Some(tool) = block.get("toolUse") {
        name(
            text(tool, "name").unwrap_or_default(),
            &format!("{path}.toolUse.name"),
            "_-",
            "[a-zA-Z0-9_-]+",
        )?;
        let id = text(tool, "toolUseId").unwrap_or_default();
        name(id, &format!("{path}.toolUse.toolUseId"), "_.:-", ID)?;
        if !tool.get("input").is_some_and(Value::is_object) {
            return json_object(&format!("messages.{m}.content.{b}.toolUse.input"));
        }
    }
    if let Some(result) = block.get("toolResult") {
        let id = text(result, "toolUseId").unwrap_or_default();
        name(id, &format!("{path}.toolResult.toolUseId"), "_.:-", ID)?;
        let Some(contents) = result.get("content").and_then(Value::as_array) else {
            return constraint(
                "null",
                &format!("{path}.toolResult.content"),
                "Member must not be null",
            );
        };
        if let Some(status) = text(result, "status")
            && !["success", "error"].contains(&status)
        {
            return constraint(
                status,
                &format!("{path}.toolResult.status"),
                "Member must satisfy enum value set: [success, error]",
            );
        }
        for (index, content) in contents.iter().enumerate() {
            let path = format!("messages.{m}.content.{b}.toolResult.content.{index}");
            union(
                content,
                "ToolResultContentBlock",
                &path,
                &["json", "text", "image", "document", "video", "searchResult"],
            )?;
            if content.get("json").is_some_and(|json| !json.is_object()) {
                return json_object(&format!("{path}.json"));
            }
        }
    }
    Ok(())
}

fn json_object(path: &str) -> Check {
    reject(format!(
        "The format of the value at {path} is invalid. Provide a json object for the field and try again."
    ))
}

fn cache_point(block: &Value, path: &str) -> Check {
    let Some(point) = block.get("cachePoint") else {
        return Ok(());
    };
    if text(point, "type") != Some("default") {
        return constraint(
            text(point, "type").unwrap_or("null"),
            &format!("{path}.cachePoint.type"),
            "Member must satisfy enum value set: [default]",
        );
    }
    match text(point, "ttl") {
        None | Some("5m" | "1h") => Ok(()),
        Some(other) => constraint(
            other,
            &format!("{path}.cachePoint.ttl"),
            "Member must satisfy enum value set: [5m, 1h]",
        ),
    }
}

fn metadata(request: &Value) -> Check {
    let pairs = request.get("requestMetadata").and_then(Value::as_object);
    if pairs.is_some_and(|pairs| pairs.is_empty() || pairs.len() > 16) {
        return constraint(
            "requestMetadata",
            "requestMetadata",
            "Member must have length between 1 and 16",
        );
    }
    let legal = |text: &str| {
        text.chars().count() <= 256
            && text.chars().all(|c| {
                c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c)
            })
    };
    for (key, value) in pairs.into_iter().flatten() {
        let value = value.as_str().unwrap_or("\u{0}");
        if key.is_empty() || !legal(key) || !legal(value) {
            return constraint(
                format!("{{{key}={value}}}"),
                "requestMetadata",
                "Map keys and values must satisfy constraint: [Member must have length less than or equal to 256, Member must satisfy regular expression pattern: [a-zA-Z0-9\\s:_@$#=/+,-.]*]",
            );
        }
    }
    Ok(())
}

fn enumeration(request: &Value, pointer: &str, values: &[&str]) -> Check {
    let Some(value) = request.pointer(pointer) else {
        return Ok(());
    };
    if value.as_str().is_some_and(|value| values.contains(&value)) {
        return Ok(());
    }
    constraint(
        value.as_str().unwrap_or("null"),
        &pointer.trim_start_matches('/').replace('/', "."),
        &format!(
            "Member must satisfy enum value set: [{}]",
            values.join(", ")
        ),
    )
}
