//! InvokeModel, plain and streamed, with the body in the format of the model's family (`body_format` in
//! `data/models.yaml`).
//!
//! Response headers and the `chunk` event: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_InvokeModel.html>.

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

use super::catalog::{BodyFormat, Target};
use super::guardrail::{self, ActiveGuardrail};
use super::script::Script;
use super::stream::{object, padded, play};
use super::turn::{LATENCY_MILLISECONDS, Turn, Usage, bill, fail_as_scripted};
use super::{chat, converse, messages, validate};
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::{Incoming, Shared};
use crate::service_model;

/// Request headers that are returned with the response.
const ECHOED: [&str; 2] = [
    "x-amzn-bedrock-performanceconfig-latency",
    "x-amzn-bedrock-service-tier",
];

/// A response without a conversation.
#[derive(Debug)]
struct Whole {
    body: Value,
    input_tokens: usize,
}

impl Whole {
    fn usage(&self) -> Usage {
        Usage {
            input: self.input_tokens,
            ..Usage::default()
        }
    }
}

pub(super) async fn respond(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    target: &Target,
    guardrail: Option<ActiveGuardrail<'_>>,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let streamed = call.operation == "InvokeModelWithResponseStream";
    let format = target.model.family.rules.body_format;
    if streamed && !format.streams() {
        return Err(AwsError::validation(
            "The model is unsupported for streaming.",
        ));
    }
    attribution(&incoming.headers)?;
    let mut body = object_body(&incoming.body)?;
    let options = guardrail::take_options(&mut body);
    let guardrail = guardrail.map(|one| one.with_options(options.as_ref(), streamed));
    let model = &target.model.id;
    let conversation = match format {
        BodyFormat::Messages => {
            messages::conversation(&body, target, messages::Origin::InvokeModel)?
        }
        BodyFormat::Nova => nova(&body, target, streamed)?,
        BodyFormat::Llama => text::llama(&body)?,
        BodyFormat::Mistral if body.get("messages").is_none() => text::mistral(&body)?,
        BodyFormat::Mistral | BodyFormat::Chat => chat::conversation(&body)?,
        BodyFormat::Unknown => {
            return Err(AwsError::validation(
                "Malformed input request: the double does not support this model's body format; use Converse.",
            ));
        }
        _ => {
            let prompt = body.to_string();
            let whole = whole(format, model, &body)?;
            let script = Script::parse(&scripted(&prompt)).map_err(AwsError::validation)?;
            fail_as_scripted(shared, call, &script).await?;
            if let Some(message) = guardrail.as_ref().and_then(|one| one.blocks(&body)) {
                let blocked = json!({ "images": [], "error": message,
                    "amazon-bedrock-guardrailAction": "INTERVENED" });
                return Ok(write(&blocked, &Usage::default(), &incoming.headers));
            }
            bill(shared, call, &whole.usage());
            return Ok(write_whole(&whole, &incoming.headers));
        }
    };
    let guardrail = guardrail.as_ref();
    let turn = Turn::build(shared, call, target.reads(), &conversation, guardrail).await?;
    let turn = turn.with_fault(fault);
    turn.bill(shared, call);
    if streamed {
        let chunks = chunks(format, model, &body, &turn);
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
    let mut reply = match format {
        BodyFormat::Messages => messages::message(model, &turn),
        BodyFormat::Nova => converse::message(&turn),
        BodyFormat::Llama => text::llama_reply(&turn),
        BodyFormat::Mistral if body.get("messages").is_none() => text::mistral_reply(&turn),
        _ => object(chat::invoke_reply(model, &turn)),
    };
    guardrail_fields(&mut reply, &turn);
    Ok(write(&Value::Object(reply), &turn.usage, &incoming.headers))
}

/// Checks the headers with metadata and project, with the constraints of Converse's members of the same shape.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-request-metadata.html>
fn attribution(headers: &HeaderMap) -> Result<(), AwsError> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let mut members = Map::new();
    if let Some(metadata) = text("x-amzn-bedrock-request-metadata") {
        let metadata: Map<String, Value> = serde_json::from_str(metadata).map_err(|_| {
            AwsError::validation(
                "The value of X-Amzn-Bedrock-Request-Metadata is not a JSON object.",
            )
        })?;
        members.insert("requestMetadata".to_owned(), Value::Object(metadata));
    }
    if let Some(project) = text("x-amzn-bedrock-projectidentifier") {
        members.insert("projectIdentifier".to_owned(), json!(project));
    }
    service_model::check("bedrock-runtime", "Converse", &Value::Object(members))
}

/// Reads the body, which is a JSON object for all models.
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

/// The script of a request without turns: the directive lines in its texts.
fn scripted(body: &str) -> String {
    let lines = body.split(['"', '\n']).flat_map(|text| text.split("\\n"));
    let lines: Vec<&str> = lines.filter(|line| line.starts_with("@error")).collect();
    lines.join("\n")
}

/// Converts Nova's body, which is Converse's with a schema version.
fn nova(body: &Value, target: &Target, streamed: bool) -> Result<Value, AwsError> {
    let mut conversation = body.clone();
    if let Some(object) = conversation.as_object_mut() {
        let version = object.remove("schemaVersion");
        if version.is_some_and(|version| version != "messages-v1") {
            return Err(malformed("#/schemaVersion: expected value: messages-v1"));
        }
        // `max_new_tokens` is the older name; topK is in inferenceConfig here.
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

fn whole(format: BodyFormat, model: &str, body: &Value) -> Result<Whole, AwsError> {
    match format {
        BodyFormat::TitanEmbeddings => embeddings::titan(model, body),
        BodyFormat::CohereEmbeddings => embeddings::cohere(model, body),
        BodyFormat::NovaEmbeddings => embeddings::nova(body),
        BodyFormat::AmazonImage => images::amazon(body),
        BodyFormat::StabilityImage => images::stability(model, body),
        BodyFormat::CohereRerank => rerank::cohere(body),
        _ => rerank::amazon(body),
    }
}

fn malformed(what: &str) -> AwsError {
    AwsError::validation(format!(
        "Malformed input request: {what}, please reformat your input and try again."
    ))
}

/// Rejects unknown and missing members, like a JSON schema.
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

/// Adds the guardrail's fields to a model's response.
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

fn chunks(format: BodyFormat, model: &str, body: &Value, turn: &Turn) -> Vec<Map<String, Value>> {
    let mut chunks = match format {
        BodyFormat::Messages => messages::events(model, turn, true),
        BodyFormat::Nova => super::stream::events(turn, (None, None))
            .into_iter()
            .map(|(kind, event)| object(json!({ kind: event })))
            .collect(),
        BodyFormat::Llama => text::llama_chunks(turn),
        BodyFormat::Mistral if body.get("messages").is_none() => text::mistral_chunks(turn),
        _ => {
            let chunks = chat::invoke_chunks(model, turn);
            chunks.into_iter().map(object).collect()
        }
    };
    if let Some(last) = chunks.last_mut() {
        guardrail_fields(last, turn);
        if format != BodyFormat::Messages {
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
    let mut response = write(&whole.body, &whole.usage(), request);
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
