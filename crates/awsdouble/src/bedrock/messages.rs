//! Anthropic Messages for InvokeModel and Bedrock's Anthropic endpoint: validation, conversion to a conversation in
//! Converse's format, and the response, plain and streamed.
//!
//! Fields and events: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages-request-response.html>
//! and <https://docs.claude.com/en/api/messages>. Error messages come from user reports.

mod blocks;
mod convert;
mod tools;
mod validate;
mod write;

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value};

use super::catalog::Target;
use super::json::text;
use super::served_apis::ApiRequest;
use super::turn::Turn;
use super::{converse, stream};
use crate::error::AwsError;
use crate::record::Call;
use crate::render::anthropic_error;
use crate::server::{Incoming, Shared};

pub(super) use write::{events, message};

type Check = Result<(), AwsError>;

/// The API of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// InvokeModel: version in the body, model in the path, streaming by operation.
    InvokeModel,
    /// `/anthropic/v1/messages`: version in a header, model and `stream` in the body.
    MessagesEndpoint,
}

/// Validates a request and converts it to a conversation.
pub(super) fn conversation(
    body: &Value,
    target: &Target,
    origin: Origin,
) -> Result<Value, AwsError> {
    validate::check(body, target, origin)?;
    let conversation = convert::conversation(body);
    super::validate::claude_thinking(&conversation, &target.model.family.rules)?;
    Ok(conversation)
}

/// Handles `/anthropic/v1/messages`: version and beta flags in headers, server-sent events if `stream` is set.
pub(super) async fn respond(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    request: ApiRequest<'_>,
) -> Result<Response, AwsError> {
    let header = |name: &str| incoming.headers.get(name)?.to_str().ok();
    if header("anthropic-version").is_none() {
        required("anthropic_version")?;
    }
    if request.body.get("anthropic_beta").is_some() {
        extra("anthropic_beta")?;
    }
    let mut body = request.body.clone();
    if let (Some(flags), Some(object)) = (header("anthropic-beta"), body.as_object_mut()) {
        let flags = flags.split(',').map(|flag| Value::from(flag.trim()));
        object.insert("anthropic_beta".to_owned(), flags.collect());
    }
    let conversation = conversation(&body, &request.target, Origin::MessagesEndpoint)?;
    let guardrail = request.guardrail.as_ref();
    let reads = (request.model.as_str(), &request.target.model.family.rules);
    let turn = Turn::build(shared, call, reads, &conversation, guardrail).await?;
    let turn = turn.with_fault(request.fault);
    turn.bill(shared, call);
    if request.streamed {
        let events = events(&request.model, &turn, false);
        let events = events.into_iter().map(server_sent).collect();
        return Ok(stream::play_sse(
            shared,
            call,
            &turn.script,
            events,
            failure,
        ));
    }
    tokio::time::sleep(turn.script.first).await;
    let message = message(&request.model, &turn);
    Ok(converse::json_reply(&Value::Object(message)))
}

fn server_sent(event: Map<String, Value>) -> Vec<u8> {
    let event = Value::Object(event);
    let kind = text(&event, "type").unwrap_or_default();
    format!("event: {kind}\ndata: {event}\n\n").into_bytes()
}

fn failure(code: &str, message: &str) -> Vec<u8> {
    let error = anthropic_error(&stream::pascal_case(code), message);
    format!("event: error\ndata: {error}\n\n").into_bytes()
}

fn reject(message: impl Into<String>) -> Check {
    Err(AwsError::validation(message))
}

fn extra(path: &str) -> Check {
    reject(format!("{path}: Extra inputs are not permitted"))
}

fn required(path: &str) -> Check {
    reject(format!("{path}: Field required"))
}

#[cfg(test)]
mod tests;
