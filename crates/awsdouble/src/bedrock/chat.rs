//! OpenAI Chat Completions on Bedrock's endpoints.
//!
//! The hosts differ: the runtime writes reasoning into the text between `<reasoning>` tags, mantle into a separate
//! field, and mantle's streams count tool calls from one.
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html>.

mod read;
mod write;

use std::sync::Arc;

use axum::response::Response;
use serde_json::Value;

use super::served_apis::ApiRequest;
use super::turn::Turn;
use super::{converse, stream};
use crate::error::AwsError;
use crate::record::Call;
use crate::render::openai_error;
use crate::server::Shared;

pub(super) use read::{content, conversation, tool_choice};

pub(super) async fn respond(
    shared: &Arc<Shared>,
    call: &mut Call,
    request: ApiRequest<'_>,
) -> Result<Response, AwsError> {
    let conversation = conversation(request.body)?;
    let guardrail = request.guardrail.as_ref();
    let reads = (request.model.as_str(), &request.target.model.family.rules);
    let turn = Turn::build(shared, call, reads, &conversation, guardrail).await?;
    let turn = turn.with_fault(request.fault.clone());
    turn.bill(shared, call);
    let reply = write::Reply {
        model: &request.model,
        turn: &turn,
        mantle: request.mantle,
    };
    if request.streamed {
        let usage =
            request.body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
        let events = reply.events(usage);
        return Ok(stream::play_sse(
            shared,
            call,
            &turn.script,
            events,
            failure,
        ));
    }
    tokio::time::sleep(turn.script.first).await;
    Ok(converse::json_reply(&reply.whole()))
}

/// InvokeModel's response to the same body.
pub(super) fn invoke_reply(model: &str, turn: &Turn) -> Value {
    let mantle = false;
    write::Reply {
        model,
        turn,
        mantle,
    }
    .whole()
}

/// The chunks of InvokeModel's stream.
pub(super) fn invoke_chunks(model: &str, turn: &Turn) -> Vec<Value> {
    let mantle = false;
    write::Reply {
        model,
        turn,
        mantle,
    }
    .chunks(false)
}

fn failure(code: &str, message: &str) -> Vec<u8> {
    let error = openai_error(&stream::pascal_case(code), message);
    format!("data: {error}\n\n").into_bytes()
}
