//! Refuses Converse requests that Bedrock would refuse, in its words as far as they are known from its users'
//! reports. In Bedrock's order: types, constraints of the service model, the conversation, tools, media, then
//! what the model's family does not take.

mod constraints;
mod family;
mod inference;
mod media;
mod messages;
mod tools;

use serde_json::Value;

use super::catalog::Target;
use crate::error::AwsError;

type Check = Result<(), AwsError>;

/// Checks a request for a model.
pub(super) fn request(request: &Value, target: &Target, streaming: bool) -> Check {
    let rules = &target.model.family.rules;
    if !rules.converse {
        return refuse(
            "The model that you are using requires the InvokeModel operation: it does not support Converse.",
        );
    }
    constraints::check(request)?;
    messages::check(request, rules)?;
    tools::check(request, rules, streaming)?;
    media::check(request, rules)?;
    inference::check(request, rules)?;
    family::check(request, rules)
}

fn refuse(message: impl Into<String>) -> Check {
    Err(AwsError::validation(message))
}

/// As the model's own refusals are passed on.
fn model_refuses(message: impl std::fmt::Display) -> Check {
    refuse(format!(
        "The model returned the following errors: {message}"
    ))
}

fn unsupported(field: &str) -> Check {
    refuse(format!(
        "This model doesn't support the {field} field. Remove {field} and try again."
    ))
}

fn malformed(path: &str, key: &str) -> Check {
    refuse(format!(
        "Malformed input request: {path}: extraneous key [{key}] is not permitted, please reformat your input and try again."
    ))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// Every content block with the indexes of its message and itself.
fn blocks(request: &Value) -> impl Iterator<Item = (usize, usize, &Value)> {
    list(request, "messages")
        .iter()
        .enumerate()
        .flat_map(|(m, message)| {
            list(message, "content")
                .iter()
                .enumerate()
                .map(move |(b, block)| (m, b, block))
        })
}

fn has_tool_blocks(request: &Value) -> bool {
    blocks(request)
        .any(|(_, _, block)| block.get("toolUse").is_some() || block.get("toolResult").is_some())
}

#[cfg(test)]
mod tests;
