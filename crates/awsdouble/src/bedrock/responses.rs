//! OpenAI Responses as Bedrock's own endpoints serve it: synchronous and without a store (mantle has one; the double
//! does not keep it, so an earlier response is never found).
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html>.

mod read;
mod write;

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::surface::Asked;
use super::turn::Turn;
use super::{converse, stream};
use crate::error::AwsError;
use crate::record::Call;
use crate::render::openai_names;
use crate::server::Shared;

pub(super) async fn answer(
    shared: &Arc<Shared>,
    call: &mut Call,
    asked: Asked<'_>,
) -> Result<Response, AwsError> {
    let conversation = read::conversation(asked.body, asked.mantle)?;
    let guardrail = asked.guardrail.as_ref();
    let turn = Turn::work_out(shared, call, &asked.model, &conversation, guardrail).await?;
    let turn = turn.with_fault(asked.fault.clone());
    let reply = write::Reply {
        body: asked.body,
        model: &asked.model,
        turn: &turn,
    };
    if asked.streamed {
        let events = reply.events();
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

fn failure(code: &str, message: &str) -> Vec<u8> {
    let (_, code) = openai_names(&stream::pascal_case(code));
    let error: Value = json!({ "type": "error", "code": code, "message": message, "param": null });
    format!("event: error\ndata: {error}\n\n").into_bytes()
}
