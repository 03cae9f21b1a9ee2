//! Requests and responses of Converse, which several endpoints use.

use std::collections::BTreeMap;

use bedrock::{
    converse::{ConverseRequest, ConverseResponse, StreamEvent, TierUsed, TokenUsage, from_json},
    eventstream::Frame,
};
use bytes::Bytes;
use dialects::translation::{DecodeOptions, Fetch, GuardrailRef, RemoteMedia, UpstreamError};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    endpoint::{Encoding, Preparation, Reply, TargetRequest},
    record::RequestRecord,
};
use crate::{
    http::error::{GatewayError, Result},
    measure::{self, Step},
    upstream::{call::Prepared, guardrail, operation::Operation},
};

/// Options for decoding a request for its target.
///
/// # Errors
/// 400 if the headers of a guardrail are incomplete.
pub(crate) fn decode_options<'r>(request: &TargetRequest<'r>) -> Result<DecodeOptions<'r>> {
    let config = request.config;
    Ok(DecodeOptions {
        client_guardrail: guardrail::of_headers(request.headers)?,
        strict: config.strict,
        automatic_cache: config.automatic_cache,
        guardrail: config.guardrail.as_ref().map(|guardrail| GuardrailRef {
            identifier: guardrail.identifier.clone(),
            version: guardrail.version.clone(),
        }),
        remote_media: if config.fetch_remote_media {
            RemoteMedia::Fetch(request.media)
        } else {
            RemoteMedia::Refuse
        },
        ..DecodeOptions::new(&request.target.capabilities)
    })
}

/// A request of Converse, or of ConverseStream, unless media must be fetched first. `length`: of the client's body.
///
/// # Errors
/// When it cannot be serialized.
pub(crate) fn prepare<R, P>(
    (request, length): (&ConverseRequest<'_>, usize),
    stream: bool,
    fetches: Vec<Fetch>,
    warnings: Vec<String>,
    reply: R,
) -> Result<Preparation<Encoding<R, P>>> {
    if !fetches.is_empty() {
        return Ok(Preparation::NeedsMedia(fetches));
    }
    // About as long as the client's, so that a large one is not copied while it grows.
    let mut body = Vec::with_capacity(length.saturating_add(length / 16).saturating_add(1024));
    measure::step(Step::Write, || serde_json::to_writer(&mut body, request))
        .map_err(|_| GatewayError::Internal("failed to serialize the translated request"))?;
    let operation = if stream {
        Operation::ConverseStream
    } else {
        Operation::Converse
    };
    Ok(Prepared {
        warnings,
        ..Prepared::new(operation, body, Encoding::Converse(Box::new(reply)))
    }
    .into())
}

/// Records the usage of a complete response, which has the member `list`, and encodes it: by `forward` if the target uses the client's protocol,
/// by `translate` if it is a response of Converse.
///
/// # Errors
/// When the response is unreadable, or has no equivalent in the client's dialect.
pub(crate) fn whole<R, P>(
    reply: Reply<'_, Encoding<R, P>>,
    record: &mut RequestRecord,
    list: &'static str,
    forward: impl FnOnce(Bytes, P) -> (Bytes, Option<TokenUsage>),
    translate: impl FnOnce(&ConverseResponse, R) -> Result<Vec<u8>, UpstreamError>,
) -> Result<Bytes> {
    let (body, usage) = match reply.context {
        Encoding::Passthrough(context) => {
            check_list(&reply.body, list)?;
            forward(reply.body, context)
        }
        Encoding::Converse(context) => {
            let response = measure::step(Step::DecodeReply, || read_response(&reply.body))?;
            record.set_usage(response.usage);
            return Ok(translate(&response, *context)?.into());
        }
    };
    if let Some(usage) = usage {
        record.set_usage(usage);
    }
    Ok(body)
}

/// Reads a response of Converse.
///
/// # Errors
/// When it is unreadable.
pub(crate) fn read_response(body: &[u8]) -> Result<ConverseResponse> {
    let mut response: ConverseResponse = from_json(body).map_err(|error| unreadable(&error))?;
    // All fields have defaults, so that other JSON, such as that of a proxy, is an empty response.
    if response.output.message.content.is_empty() {
        check_converse(body)?;
    }
    let tier = response.service_tier.as_ref().map(TierUsed::billed);
    response.usage = response.usage.in_tier(tier);
    Ok(response)
}

/// Checks that JSON is a response of Converse.
///
/// # Errors
/// When it has no content.
fn check_converse(body: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Response<'r> {
        #[serde(borrow)]
        output: Output<'r>,
    }
    #[derive(Deserialize)]
    struct Output<'r> {
        #[serde(borrow)]
        message: Message<'r>,
    }
    #[derive(Deserialize)]
    struct Message<'r> {
        #[serde(borrow)]
        content: Vec<&'r RawValue>,
    }
    let found: Response<'_> = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    drop(found.output.message.content);
    Ok(())
}

/// Checks that a response in another protocol has its list of contents.
///
/// # Errors
/// When it has none, such as that of a proxy.
pub(crate) fn check_list(body: &[u8], member: &str) -> Result<()> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    let is_list = |value: &&RawValue| value.get().starts_with('[');
    if members.get(member).is_some_and(is_list) {
        Ok(())
    } else {
        Err(GatewayError::Unreadable(format!("no list {member:?}")))
    }
}

/// Position and kind only: the text may contain output of the model.
fn unreadable(error: &serde_json::Error) -> GatewayError {
    GatewayError::Unreadable(format!(
        "{:?} error at line {} column {}",
        error.classify(),
        error.line(),
        error.column()
    ))
}

/// Reads an event of ConverseStream.
///
/// # Errors
/// When it is unreadable.
pub(crate) fn read_event(frame: &Frame) -> Result<StreamEvent<'_>> {
    measure::step(Step::DecodeReply, || {
        StreamEvent::from_frame_parts(&frame.event_type, &frame.payload)
    })
    .map_err(|error| GatewayError::Unreadable(format!("event {}", error.event_type)))
}
