//! OpenAI Responses on Bedrock's endpoints, synchronous and without a store (mantle stores responses, the double does
//! not, so `previous_response_id` is never found).
//! See <https://docs.aws.amazon.com/bedrock/latest/userguide/inference-responses-api.html>.

mod read;
mod tools;
mod write;

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Value, json};

use super::served_apis::ApiRequest;
use super::turn::Turn;
use super::{converse, stream};
use crate::error::AwsError;
use crate::record::Call;
use crate::render::openai_names;
use crate::server::Shared;

pub(super) async fn respond(
    shared: &Arc<Shared>,
    call: &mut Call,
    request: ApiRequest<'_>,
) -> Result<Response, AwsError> {
    let conversation = read::conversation(request.body, &request.model, request.mantle)?;
    let guardrail = request.guardrail.as_ref();
    let reads = (request.model.as_str(), &request.target.model.family.rules);
    let turn = Turn::build(shared, call, reads, &conversation, guardrail).await?;
    let turn = turn.with_fault(request.fault.clone());
    turn.bill(shared, call);
    let reply = write::Reply {
        body: request.body,
        model: &request.model,
        turn: &turn,
    };
    if request.streamed {
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

fn rejected(message: impl Into<String>) -> AwsError {
    AwsError::validation(message)
}

fn failure(code: &str, message: &str) -> Vec<u8> {
    let (_, code) = openai_names(&stream::pascal_case(code));
    let error: Value = json!({ "type": "error", "code": code, "message": message, "param": null });
    format!("event: error\ndata: {error}\n\n").into_bytes()
}
