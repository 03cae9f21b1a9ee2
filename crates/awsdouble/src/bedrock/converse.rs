//! The Converse operations: reads the request, lets `reply.rs` answer, writes the plain reply.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::catalog::Target;
use super::prompt::{count, last_user_text};
use super::reply::{Answer, answer as work_out};
use super::script::{Script, Trouble};
use super::{stream, validate};
use crate::error::{AwsError, ErrorBody, usual_message};
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::{Incoming, Shared};

/// What AWS reports as `latencyMs`; fixed, so that replies are repeatable.
const LATENCY_MILLISECONDS: u64 = 42;

/// A request read, validated and answered, but not yet written.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) script: Script,
    pub(super) answer: Answer,
    pub(super) usage: Value,
    pub(super) additional: Option<Value>,
}

pub(super) async fn answer(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
) -> Result<Response, AwsError> {
    let prepared = prepare(shared, incoming, call, target).await?;
    tokio::time::sleep(prepared.script.first).await;
    let content: Vec<Value> = prepared
        .answer
        .blocks
        .iter()
        .map(super::reply::Block::json)
        .collect();
    let mut reply = Map::new();
    if let Some(additional) = prepared.additional {
        reply.insert("additionalModelResponseFields".to_owned(), additional);
    }
    reply.insert(
        "metrics".to_owned(),
        json!({ "latencyMs": LATENCY_MILLISECONDS }),
    );
    reply.insert(
        "output".to_owned(),
        json!({ "message": { "content": content, "role": "assistant" } }),
    );
    reply.insert("stopReason".to_owned(), json!(prepared.answer.stop_reason));
    reply.insert("usage".to_owned(), prepared.usage);
    let mut response = Response::new(Body::from(Value::Object(reply).to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    Ok(response)
}

pub(super) async fn answer_streamed(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let mut prepared = prepare(shared, incoming, call, target).await?;
    match fault {
        Some(FaultAction::StreamException {
            after,
            code,
            message,
        }) => {
            prepared.script.trouble = Some(Trouble::Exception {
                after,
                code,
                message,
            });
        }
        Some(FaultAction::StreamCut { after }) => {
            prepared.script.trouble = Some(Trouble::Cut { after });
        }
        Some(FaultAction::StreamStall { after }) => {
            prepared.script.trouble = Some(Trouble::Stall { after });
        }
        _ => {}
    }
    Ok(stream::respond(
        shared,
        call,
        &prepared,
        Duration::from_millis(LATENCY_MILLISECONDS),
    ))
}

async fn prepare(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
) -> Result<Prepared, AwsError> {
    let request = parse(&incoming.body)?;
    let model = &target.model.id;
    validate::request(&request, target, call.operation == "ConverseStream")?;
    let script = Script::parse(&last_user_text(&request)).map_err(AwsError::validation)?;
    match &script.trouble {
        Some(Trouble::Error {
            code,
            message,
            empty_body,
        }) => {
            let message = if message.is_empty() {
                usual_message(code)
            } else {
                message.as_str()
            };
            let mut error = AwsError::named(code, message);
            if *empty_body {
                error.body = ErrorBody::Empty;
            }
            return Err(error);
        }
        Some(Trouble::Hang) => {
            shared.recorder.update(call, false);
            std::future::pending::<()>().await;
        }
        _ => {}
    }
    let answer = work_out(model, &request, &script);
    let usage = usage(shared, model, &request, &script, &answer);
    let additional = additional_fields(&request, &answer);
    Ok(Prepared {
        script,
        answer,
        usage,
        additional,
    })
}

/// Reads the body, which is an object.
fn parse(body: &[u8]) -> Result<Value, AwsError> {
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

/// Token counts. A prefix that ends at a cache point is written to the cache once and read from then on.
fn usage(shared: &Shared, model: &str, request: &Value, script: &Script, answer: &Answer) -> Value {
    let input = count(model, request);
    let mut usage = Map::new();
    let (mut read, mut written) = (0, 0);
    if let Some((_, cacheable)) = input.cache_points.last() {
        let mut known = shared
            .bedrock
            .cached_prefixes
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        read = input
            .cache_points
            .iter()
            .filter(|(prefix, _)| known.contains(prefix))
            .map(|(_, tokens)| *tokens)
            .max()
            .unwrap_or(0);
        written = cacheable - read;
        known.extend(input.cache_points.iter().map(|(prefix, _)| prefix.clone()));
    }
    // AWS writes both names, the second ones undocumented.
    for (name, count) in [
        ("cacheReadInputTokenCount", read),
        ("cacheReadInputTokens", read),
        ("cacheWriteInputTokenCount", written),
        ("cacheWriteInputTokens", written),
        ("inputTokens", input.plain),
        ("outputTokens", answer.output_tokens),
    ] {
        usage.insert(name.to_owned(), json!(count));
    }
    usage.insert("serverToolUsage".to_owned(), json!({}));
    usage.insert(
        "totalTokens".to_owned(),
        json!(input.plain + read + written + answer.output_tokens),
    );
    for (name, value) in &script.usage {
        usage.insert(name.clone(), value.clone());
    }
    Value::Object(usage)
}

/// `additionalModelResponseFieldPaths`: the double knows `/stop_sequence` and `/delta/stop_sequence`; other paths
/// are ignored, as AWS ignores a well-formed path that leads nowhere.
fn additional_fields(request: &Value, answer: &Answer) -> Option<Value> {
    let paths = request
        .get("additionalModelResponseFieldPaths")?
        .as_array()?;
    let asks = |wanted: &str| paths.iter().any(|path| path.as_str() == Some(wanted));
    let sequence = json!(answer.stop_sequence);
    if asks("/delta/stop_sequence") {
        Some(json!({ "delta": { "stop_sequence": sequence } }))
    } else if asks("/stop_sequence") {
        Some(json!({ "stop_sequence": sequence }))
    } else {
        None
    }
}
