//! Anthropic Messages, as InvokeModel and Bedrock's own Anthropic endpoint take them: rules, the way into a
//! conversation of Converse's shape, and the reply, plain and as events.
//!
//! Fields and events: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>
//! and <https://docs.claude.com/en/api/messages>. Texts of refusals are those that users report from Bedrock.

mod blocks;
mod convert;
mod tools;
mod validate;
mod write;

use serde_json::Value;

use super::catalog::Target;
use crate::error::AwsError;

pub(super) use write::{events, message};

type Check = Result<(), AwsError>;

/// Through which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// InvokeModel: the version in the body, the model in the path, streaming by the operation.
    Invoke,
    /// `/anthropic/v1/messages`: the version in a header, model and `stream` in the body.
    #[expect(dead_code, reason = "the endpoint itself follows")]
    Endpoint,
}

/// Checks a request and turns it into a conversation.
pub(super) fn conversation(body: &Value, target: &Target, door: Door) -> Result<Value, AwsError> {
    validate::check(body, target, door)?;
    let conversation = convert::conversation(body);
    super::validate::native_thinking(&conversation)?;
    Ok(conversation)
}

fn refuse(message: impl Into<String>) -> Check {
    Err(AwsError::validation(message))
}

fn extra(path: &str) -> Check {
    refuse(format!("{path}: Extra inputs are not permitted"))
}

fn required(path: &str) -> Check {
    refuse(format!("{path}: Field required"))
}

#[cfg(test)]
mod tests;
