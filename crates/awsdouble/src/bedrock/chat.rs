//! OpenAI Chat Completions as Bedrock's own endpoints serve it.
//!
//! Peculiarities of the two hosts: the runtime writes reasoning into the text between `<reasoning>` marks, mantle into a
//! field of its own, and mantle's streams count tool calls from one.
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-chat-completions.html>.

mod read;
mod write;

use std::sync::Arc;

use axum::response::Response;
use serde_json::Value;

use super::surface::Asked;
use super::turn::Turn;
use super::{converse, stream};
use crate::error::AwsError;
use crate::record::Call;
use crate::render::openai_error;
use crate::server::Shared;

pub(super) use read::{content, conversation, tool_choice};

pub(super) async fn answer(
    shared: &Arc<Shared>,
    call: &mut Call,
    asked: Asked<'_>,
) -> Result<Response, AwsError> {
    let conversation = conversation(asked.body)?;
    let guardrail = asked.guardrail.as_ref();
    let turn = Turn::work_out(shared, call, &asked.model, &conversation, guardrail).await?;
    let turn = turn.with_fault(asked.fault.clone());
    let reply = write::Reply {
        model: &asked.model,
        turn: &turn,
        mantle: asked.mantle,
    };
    if asked.streamed {
        let usage = asked.body.pointer("/stream_options/include_usage") == Some(&Value::Bool(true));
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

/// The reply of InvokeModel to the same body.
pub(super) fn native_reply(model: &str, turn: &Turn) -> Value {
    let mantle = false;
    write::Reply {
        model,
        turn,
        mantle,
    }
    .whole()
}

/// The chunks of its stream.
pub(super) fn native_chunks(model: &str, turn: &Turn) -> Vec<Value> {
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
