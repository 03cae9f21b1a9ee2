//! Validates Converse requests like Bedrock, with Bedrock's error messages as far as user reports show them. The
//! order is Bedrock's: types, constraints of the service model, the conversation, tools, media, inference settings,
//! the rules of the model's family.

mod cache;
mod constraints;
mod family;
mod inference;
mod media;
mod messages;
mod results;
mod tools;

use serde_json::Value;

use super::catalog::{Rules, Target};
use super::json::{list, text};
use crate::error::AwsError;

type Check = Result<(), AwsError>;

/// Validates a request to a model.
pub(super) fn request(request: &Value, target: &Target, streaming: bool) -> Check {
    let rules = &target.model.family.rules;
    if !rules.converse {
        return reject(
            "The model that you are using requires the InvokeModel operation: it does not support Converse.",
        );
    }
    constraints::check(request, streaming)?;
    messages::check(request, rules)?;
    tools::check(request, rules, streaming)?;
    media::check(request, rules)?;
    results::check(request, rules)?;
    inference::check(request, rules)?;
    cache::check(request, rules)?;
    family::check(request, rules)
}

fn reject(message: impl Into<String>) -> Check {
    Err(AwsError::validation(message))
}

/// Prefix that Converse adds to an error of the model.
const MODEL_SAYS: &str = "The model returned the following errors: ";

/// An error of the model, as Converse returns it.
fn model_rejects(message: impl std::fmt::Display) -> Check {
    reject(format!("{MODEL_SAYS}{message}"))
}

/// Validates thinking with the model's error messages, for requests that are not from Converse.
pub(super) fn claude_thinking(conversation: &Value, rules: &Rules) -> Check {
    inference::thinking(conversation, rules).map_err(|mut error| {
        error.message = error.message.replacen(MODEL_SAYS, "", 1);
        error
    })
}

fn unsupported(field: &str) -> Check {
    reject(format!(
        "This model doesn't support the {field} field. Remove {field} and try again."
    ))
}

fn malformed(path: &str, key: &str) -> Check {
    reject(format!(
        "Malformed input request: {path}: extraneous key [{key}] is not permitted, please reformat your input and try again."
    ))
}

/// All content blocks with the indexes of message and block.
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
