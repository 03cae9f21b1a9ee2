//! InvokeModel, plain and streamed: a body in the model's own language, by the family's `native` in
//! `data/models.yaml`.
//!
//! Headers of replies and the `chunk` event: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>.

mod embeddings;
mod images;
mod rerank;
mod text;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use serde_json::{Map, Value, json};

use super::catalog::{Native, Target};
use super::guardrail::Applied;
use super::script::Script;
use super::stream::{object, padded, play};
use super::turn::{LATENCY_MILLISECONDS, Turn, Usage, fail_as_scripted};
use super::{chat, converse, messages, validate};
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::{Incoming, Shared};

/// Headers of a request that come back with its reply.
const ECHOED: [&str; 2] = [
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
];

/// A reply that needs no turn of a conversation.
#[derive(Debug)]
struct Whole {
    body: Value,
    input_tokens: usize,
}

pub(super) async fn answer(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
    guardrail: Option<Applied<'_>>,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let streamed = call.operation == "InvokeModelWithResponseStream";
    let native = target.model.family.rules.native;
    if streamed && !native.streams() {
        return Err(AwsError::validation(
            "The model is unsupported for streaming.",
        ));
    }
    let body = object_body(&incoming.body)?;
    let model = &target.model.id;
    let conversation = match native {
        Native::Messages => messages::conversation(&body, target, messages::Door::Invoke)?,
        Native::Nova => nova(&body, target, streamed)?,
        Native::Llama => text::llama(&body)?,
        Native::Mistral if body.get("messages").is_none() => text::mistral(&body)?,
        Native::Mistral | Native::Chat => chat::conversation(&body)?,
        Native::Unknown => {
            return Err(AwsError::validation(
                "Malformed input request: the double does not know this model's native body; use Converse.",
            ));
        }
        _ => {
            let prompt = body.to_string();
            let whole = whole(native, model, &body)?;
            let script = Script::parse(&scripted(&prompt)).map_err(AwsError::validation)?;
            fail_as_scripted(shared, call, &script).await?;
            return Ok(write_whole(&whole, &incoming.headers));
        }
    };
    let turn = Turn::work_out(shared, call, model, &conversation, guardrail.as_ref()).await?;
    let turn = turn.with_fault(fault);
    if streamed {
        let chunks = chunks(native, model, &body, &turn);
        let frames = chunks
            .into_iter()
            .enumerate()
            .map(|(number, chunk)| frame(number, chunk))
            .collect();
        let mut response = play(shared, call, &turn.script, frames);
        let headers = response.headers_mut();
        headers.insert(
            "x-amzn-bedrock-content-type",
            HeaderValue::from_static("application/json"),
        );
        echo(&incoming.headers, headers);
        return Ok(response);
    }
    tokio::time::sleep(turn.script.first).await;
    let mut reply = match native {
        Native::Messages => messages::message(model, &turn),
        Native::Nova => converse::message(&turn),
        Native::Llama => text::llama_reply(&turn),
        Native::Mistral if body.get("messages").is_none() => text::mistral_reply(&turn),
        _ => object(chat::native_reply(model, &turn)),
    };
    guardrail_fields(&mut reply, &turn);
    Ok(write(&Value::Object(reply), &turn.usage, &incoming.headers))
}

/// Reads the body, which is an object in JSON whatever the model.
fn object_body(body: &[u8]) -> Result<Value, AwsError> {
    match serde_json::from_slice::<Value>(body) {
        Ok(body) if body.is_object() => Ok(body),
        Ok(_) => Err(AwsError::validation(
            "Malformed input request: expected type: JSONObject, please reformat your input and try again.",
        )),
        Err(_) => Err(AwsError::validation(
            "Malformed input request, please reformat your input and try again.",
        )),
    }
}

/// The script of a request without turns: directive lines within its texts.
fn scripted(body: &str) -> String {
    let lines = body.split(['"', '\n']).flat_map(|text| text.split("\\n"));
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("@error")).collect();
    lines.join("\n")
}

/// Nova's body is Converse's, with a version of its schema.
fn nova(body: &Value, target: &Target, streamed: bool) -> Result<Value, AwsError> {
    let mut conversation = body.clone();
    if let Some(object) = conversation.as_object_mut() {
        let version = object.remove("schemaVersion");
        if version.is_some_and(|version| version != "messages-v1") {
            return Err(malformed("#/schemaVersion: expected value: messages-v1"));
        }
        // `max_new_tokens` is the older name, and topK stands beside the others here.
        if let Some(config) = object
            .get_mut("inferenceConfig")
            .and_then(Value::as_object_mut)
        {
            if let Some(maximum) = config.remove("max_new_tokens") {
                config.insert("maxTokens".to_owned(), maximum);
            }
            config.remove("topK");
        }
    }
    validate::request(&conversation, target, streamed)?;
    Ok(conversation)
}

fn whole(native: Native, model: &str, body: &Value) -> Result<Whole, AwsError> {
    match native {
        Native::TitanEmbeddings => embeddings::titan(model, body),
        Native::CohereEmbeddings => embeddings::cohere(model, body),
        Native::NovaEmbeddings => embeddings::nova(body),
        Native::AmazonImage => images::amazon(body),
        Native::StabilityImage => images::stability(model, body),
        Native::CohereRerank => rerank::cohere(body),
        _ => rerank::amazon(body),
    }
}

fn malformed(what: &str) -> AwsError {
    AwsError::validation(format!(
        "Malformed input request: {what}, please reformat your input and try again."
    ))
}

/// Refuses unknown members and asks for the needed ones, as a JSON schema does.
fn schema(body: &Value, path: &str, known: &[&str], needed: &[&str]) -> Result<(), AwsError> {
    if let Some(name) = super::json::unknown_key(body, known) {
        return Err(malformed(&format!(
            "{path}: extraneous key [{name}] is not permitted"
        )));
    }
    for name in needed {
        if body.get(*name).is_none_or(Value::is_null) {
            return Err(malformed(&format!(
                "{path}: required key [{name}] not found"
            )));
        }
    }
    Ok(())
}

/// What a guardrail adds to a model's own reply.
fn guardrail_fields(reply: &mut Map<String, Value>, turn: &Turn) {
    let Some(finding) = &turn.guardrail else {
        return;
    };
    let action = if turn.intervened() {
        "INTERVENED"
    } else {
        "NONE"
    };
    reply.insert("amazon-bedrock-guardrailAction".to_owned(), json!(action));
    if let Some(trace) = &finding.trace {
        let mut trace = trace.pointer("/guardrail").cloned().unwrap_or_default();
        if let Some(object) = trace.as_object_mut() {
            let input = object.remove("inputAssessment").unwrap_or_default();
            object.insert("input".to_owned(), input);
            if let Some(output) = object.remove("outputAssessments") {
                object.insert("outputs".to_owned(), json!([output]));
            }
        }
        reply.insert(
            "amazon-bedrock-trace".to_owned(),
            json!({ "guardrail": trace }),
        );
    }
}

fn chunks(native: Native, model: &str, body: &Value, turn: &Turn) -> Vec<Map<String, Value>> {
    let mut chunks = match native {
        Native::Messages => messages::events(model, turn, true),
        Native::Nova => super::stream::events(turn, None)
            .into_iter()
            .map(|(kind, event)| object(json!({ kind: event })))
            .collect(),
        Native::Llama => text::llama_chunks(turn),
        Native::Mistral if body.get("messages").is_none() => text::mistral_chunks(turn),
        _ => {
            let chunks = chat::native_chunks(model, turn);
            chunks.into_iter().map(object).collect()
        }
    };
    if let Some(last) = chunks.last_mut() {
        guardrail_fields(last, turn);
        if native != Native::Messages {
            last.insert(
                "amazon-bedrock-invocationMetrics".to_owned(),
                json!({ "inputTokenCount": turn.usage.input, "outputTokenCount": turn.usage.output,
                    "invocationLatency": LATENCY_MILLISECONDS,
                    "firstByteLatency": LATENCY_MILLISECONDS / 2 }),
            );
        }
    }
    chunks
}

fn frame(number: usize, chunk: Map<String, Value>) -> Vec<u8> {
    let bytes = STANDARD.encode(Value::Object(chunk).to_string());
    padded(number, "chunk", object(json!({ "bytes": bytes })))
}

fn write(body: &Value, usage: &Usage, request: &HeaderMap) -> Response {
    let mut response = Response::new(Body::from(body.to_string()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    let latency = usize::try_from(LATENCY_MILLISECONDS).unwrap_or(usize::MAX);
    for (name, count) in [
        ("x-amzn-bedrock-input-token-count", usage.input),
        ("x-amzn-bedrock-output-token-count", usage.output),
        (
            "x-amzn-bedrock-cache-read-input-token-count",
            usage.cache_read,
        ),
        (
            "x-amzn-bedrock-cache-write-input-token-count",
            usage.cache_write,
        ),
        ("x-amzn-bedrock-invocation-latency", latency),
    ] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(count));
    }
    echo(request, headers);
    response
}

fn write_whole(whole: &Whole, request: &HeaderMap) -> Response {
    let usage = Usage {
        input: whole.input_tokens,
        ..Usage::default()
    };
    let mut response = write(&whole.body, &usage, request);
    let headers = response.headers_mut();
    headers.remove("x-amzn-bedrock-cache-read-input-token-count");
    headers.remove("x-amzn-bedrock-cache-write-input-token-count");
    response
}

fn echo(from: &HeaderMap, to: &mut HeaderMap) {
    for name in ECHOED {
        if let Some(value) = from.get(name) {
            to.insert(HeaderName::from_static(name), value.clone());
        }
    }
}
