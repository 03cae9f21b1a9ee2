//! The constraints of AWS's service model, and two that the model does not express: JSON objects and JSON pointers.
//! See <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

use serde_json::Value;

use super::{Check, blocks, list, reject};
use crate::service_model;

pub(super) fn check(request: &Value, streaming: bool) -> Check {
    let operation = if streaming {
        "ConverseStream"
    } else {
        "Converse"
    };
    service_model::check("bedrock-runtime", operation, request)?;
    for (m, b, block) in blocks(request) {
        objects(m, b, block)?;
    }
    let paths = list(request, "additionalModelResponseFieldPaths");
    for (index, path) in paths.iter().enumerate() {
        if !path.as_str().is_some_and(|path| path.starts_with('/')) {
            return reject(format!(
                "The value at additionalModelResponseFieldPaths.{index} is not a valid JSON Pointer."
            ));
        }
    }
    Ok(())
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

/// Inputs and JSON results of tools must be objects.
fn objects(m: usize, b: usize, block: &Value) -> Check {
    let path = format!("messages.{m}.content.{b}");
    if let Some(tool) = block.get("toolUse")
        && !tool.get("input").is_some_and(Value::is_object)
    {
        return json_object(&format!("{path}.toolUse.input"));
    }
    let results = block
        .get("toolResult")
        .map_or(&[][..], |result| list(result, "content"));
    for (index, content) in results.iter().enumerate() {
        if content.get("json").is_some_and(|json| !json.is_object()) {
            return json_object(&format!("{path}.toolResult.content.{index}.json"));
        }
    }
    Ok(())
}

fn json_object(path: &str) -> Check {
    reject(format!(
        "The format of the value at {path} is invalid. Provide a json object for the field and try again."
    ))
}
