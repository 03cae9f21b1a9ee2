//! Refuses Converse requests that Bedrock would refuse, in its words as far as they are known from its users'
//! reports. In Bedrock's order: types, constraints of the service model, the conversation, tools, media, then
//! what the model's family does not take.

mod constraints;
pub(super) mod family;
mod inference;
mod media;
mod messages;
mod tools;

use serde_json::Value;

use super::catalog::Target;
use super::json::{list, text};
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

/// What Converse puts before a model's own refusal.
const MODEL_SAYS: &str = "The model returned the following errors: ";

/// As the model's own refusals are passed on.
fn model_refuses(message: impl std::fmt::Display) -> Check {
    refuse(format!("{MODEL_SAYS}{message}"))
}

/// The rules of thinking in the model's own words, for requests that did not come as Converse.
pub(super) fn native_thinking(conversation: &Value) -> Check {
    inference::thinking(conversation).map_err(|mut error| {
        error.message = error.message.replacen(MODEL_SAYS, "", 1);
        error
    })
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
