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

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value};

use super::catalog::Target;
use super::json::text;
use super::surface::Asked;
use super::turn::Turn;
use super::{converse, stream};
use crate::error::AwsError;
use crate::record::Call;
use crate::render::anthropic_error;
use crate::server::{Incoming, Shared};

pub(super) use write::{events, message};

type Check = Result<(), AwsError>;

/// Through which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// InvokeModel: the version in the body, the model in the path, streaming by the operation.
    Invoke,
    /// `/anthropic/v1/messages`: the version in a header, model and `stream` in the body.
    Endpoint,
}

/// Checks a request and turns it into a conversation.
pub(super) fn conversation(body: &Value, target: &Target, door: Door) -> Result<Value, AwsError> {
    validate::check(body, target, door)?;
    let conversation = convert::conversation(body);
    super::validate::native_thinking(&conversation)?;
    Ok(conversation)
}

/// `/anthropic/v1/messages`: the version and beta flags in headers, the answer in server-sent events if asked.
pub(super) async fn answer(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    asked: Asked<'_>,
) -> Result<Response, AwsError> {
    let header = |name: &str| incoming.headers.get(name)?.to_str().ok();
    if header("anthropic-version").is_none() {
        required("anthropic_version")?;
    }
    if asked.body.get("anthropic_beta").is_some() {
        extra("anthropic_beta")?;
    }
    let mut body = asked.body.clone();
    if let (Some(flags), Some(object)) = (header("anthropic-beta"), body.as_object_mut()) {
        let flags = flags.split(',').map(|flag| Value::from(flag.trim()));
        object.insert("anthropic_beta".to_owned(), flags.collect());
    }
    let conversation = conversation(&body, &asked.target, Door::Endpoint)?;
    let guardrail = asked.guardrail.as_ref();
    let turn = Turn::work_out(shared, call, &asked.model, &conversation, guardrail).await?;
    let turn = turn.with_fault(asked.fault);
    if asked.streamed {
        let events = events(&asked.model, &turn, false);
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
    let message = message(&asked.model, &turn);
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
