//! The Converse operations: read the request, build the turn, write the plain response.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::catalog::Target;
use super::guardrail::ActiveGuardrail;
use super::reply::Reply;
use super::turn::{LATENCY_MILLISECONDS, Turn, Usage};
use super::{stream, validate};
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::{Incoming, Shared};

pub(super) async fn respond(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
    guardrail: Option<ActiveGuardrail<'_>>,
) -> Result<Response, AwsError> {
    let request = parse(&incoming.body)?;
    validate::request(&request, target, false)?;
    let turn = Turn::build(shared, call, target.reads(), &request, guardrail.as_ref()).await?;
    turn.bill(shared, call);
    tokio::time::sleep(turn.script.first).await;
    let mut reply = message(&turn);
    if let Some(additional) = additional_fields(&request, &turn.reply) {
        reply.insert("additionalModelResponseFields".to_owned(), additional);
        reply.sort_keys();
    }
    if let Some(trace) = turn.guardrail.and_then(|finding| finding.trace) {
        reply.insert("trace".to_owned(), trace);
        reply.sort_keys();
    }
    if let Some(tier) = request.get("serviceTier") {
        reply.insert("serviceTier".to_owned(), tier.clone());
        reply.sort_keys();
    }
    Ok(json_reply(&Value::Object(reply)))
}

/// The response to a turn, without optional fields.
pub(super) fn message(turn: &Turn) -> Map<String, Value> {
    let content: Vec<Value> = turn
        .reply
        .blocks
        .iter()
        .map(super::reply::Block::json)
        .collect();
    let mut reply = Map::new();
    reply.insert(
        "metrics".to_owned(),
        json!({ "latencyMs": LATENCY_MILLISECONDS }),
    );
    reply.insert(
        "output".to_owned(),
        json!({ "message": { "content": content, "role": "assistant" } }),
    );
    reply.insert("stopReason".to_owned(), json!(turn.reply.stop_reason));
    reply.insert("usage".to_owned(), usage_json(&turn.usage));
    reply
}

pub(super) fn json_reply(value: &Value) -> Response {
    let mut response = Response::new(Body::from(value.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

pub(super) async fn respond_streamed(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
    guardrail: Option<ActiveGuardrail<'_>>,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let request = parse(&incoming.body)?;
    validate::request(&request, target, true)?;
    let turn = Turn::build(shared, call, target.reads(), &request, guardrail.as_ref()).await?;
    let turn = turn.with_fault(fault);
    turn.bill(shared, call);
    let additional = additional_fields(&request, &turn.reply);
    let optional = (additional.as_ref(), request.get("serviceTier"));
    Ok(stream::respond(shared, call, &turn, optional))
}

/// Reads the body, which must be an object.
pub(super) fn parse(body: &[u8]) -> Result<Value, AwsError> {
    let request: Value = serde_json::from_slice(body).map_err(|error| {
        AwsError::new(
            400,
            "SerializationException",
            format!("Could not parse request body into json: {error}"),
        )
    })?;
    if !request.is_object() {
        return Err(AwsError::new(
            400,
            "SerializationException",
            "Unexpected value type in payload",
        ));
    }
    Ok(request)
}

/// Token counts with Converse's names; AWS writes the cache counts twice, the second time with undocumented names.
pub(super) fn usage_json(usage: &Usage) -> Value {
    let mut json = Map::new();
    for (name, count) in [
        ("cacheReadInputTokenCount", usage.cache_read),
        ("cacheReadInputTokens", usage.cache_read),
        ("cacheWriteInputTokenCount", usage.cache_write),
        ("cacheWriteInputTokens", usage.cache_write),
        ("inputTokens", usage.input),
        ("outputTokens", usage.output),
    ] {
        json.insert(name.to_owned(), json!(count));
    }
    // Writes by lifetime, longest first; absent without writes.
    let details: Vec<Value> = usage
        .written()
        .into_iter()
        .filter(|(_, tokens)| *tokens > 0)
        .map(|(ttl, tokens)| json!({ "inputTokens": tokens, "ttl": ttl }))
        .collect();
    if !details.is_empty() {
        json.insert("cacheDetails".to_owned(), Value::Array(details));
    }
    json.insert("serverToolUsage".to_owned(), json!({}));
    json.insert("totalTokens".to_owned(), json!(usage.total()));
    for (name, value) in &usage.scripted {
        json.insert(name.clone(), value.clone());
    }
    Value::Object(json)
}

/// `additionalModelResponseFieldPaths`: the double supports `/stop_sequence` and `/delta/stop_sequence` and, like AWS,
/// ignores other well-formed paths.
fn additional_fields(request: &Value, reply: &Reply) -> Option<Value> {
    let paths = request
        .get("additionalModelResponseFieldPaths")?
        .as_array()?;
    let requested = |wanted: &str| paths.iter().any(|path| path.as_str() == Some(wanted));
    let sequence = json!(reply.stop_sequence);
    if requested("/delta/stop_sequence") {
        Some(json!({ "delta": { "stop_sequence": sequence } }))
    } else if requested("/stop_sequence") {
        Some(json!({ "stop_sequence": sequence }))
    } else {
        None
    }
}
