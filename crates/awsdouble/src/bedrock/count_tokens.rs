//! CountTokens: counts the tokens of a request by the same rules as a call to the model.
//!
//! Accepts foundation model ids only: an inference profile is rejected like a model that does not support it.
//! See <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_CountTokens.html>.

use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::catalog::{BodyFormat, Target};
use super::converse::{json_reply, parse};
use super::prompt::Prompt;
use super::{messages, validate};
use crate::error::AwsError;
use crate::server::Incoming;
use crate::service_model;

pub(super) fn respond(incoming: &Incoming, target: &Target) -> Result<Response, AwsError> {
    let rules = &target.model.family.rules;
    if !rules.count_tokens || target.profile.is_some() {
        return Err(AwsError::validation(
            "The provided model doesn't support counting tokens.",
        ));
    }
    let request = parse(&incoming.body)?;
    service_model::check("bedrock-runtime", "CountTokens", &request)?;
    let input = request.get("input").unwrap_or(&Value::Null);
    let conversation = match (input.get("converse"), input.get("invokeModel")) {
        (Some(conversation), None) => {
            validate::request(conversation, target, false)?;
            conversation.clone()
        }
        (None, Some(invoke)) => invoke_body(invoke, target)?,
        _ => {
            return Err(AwsError::validation(
                "The CountTokensInput object at input must set one of the following keys: invokeModel, converse.",
            ));
        }
    };
    let prompt = Prompt::read(&conversation, rules);
    Ok(json_reply(&json!({ "inputTokens": prompt.tokens() })))
}

/// Reads InvokeModel's body from base64.
fn invoke_body(invoke: &Value, target: &Target) -> Result<Value, AwsError> {
    let encoded = invoke.get("body").and_then(Value::as_str);
    let body = encoded
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .ok_or_else(|| {
            AwsError::new(
                400,
                "SerializationException",
                "Unable to decode the blob at input.invokeModel.body as base64",
            )
        })?;
    if target.model.family.rules.body_format != BodyFormat::Messages {
        return Err(AwsError::validation(
            "The provided model doesn't support counting tokens.",
        ));
    }
    messages::conversation(&parse(&body)?, target, messages::Origin::InvokeModel)
}
