//! Requests and responses of Converse, which several endpoints use.

use bedrock::{
    converse::{ConverseRequest, ConverseResponse, StreamEvent},
    eventstream::Frame,
};
use dialects::translation::{DecodeOptions, GuardrailRef, RemoteMedia};

use super::endpoint::{Preparation, TargetRequest};
use crate::{
    http::error::{GatewayError, Result},
    upstream::{call::Prepared, operation::Operation},
};

/// Options for decoding a request for its target.
pub(crate) fn decode_options<'r>(request: &TargetRequest<'r>) -> DecodeOptions<'r> {
    let config = request.config;
    DecodeOptions {
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
    }
}

/// A request of Converse, or of ConverseStream.
///
/// # Errors
/// When it cannot be serialized.
pub(crate) fn prepare<C>(
    request: &ConverseRequest<'_>,
    stream: bool,
    warnings: Vec<String>,
    context: C,
) -> Result<Preparation<C>> {
    let body = serde_json::to_vec(request)
        .map_err(|_| GatewayError::Internal("failed to serialize the translated request"))?;
    let operation = if stream {
        Operation::ConverseStream
    } else {
        Operation::Converse
    };
    let prepared = Prepared::new(operation, body, context);
    Ok(Prepared {
        warnings,
        ..prepared
    }
    .into())
}

/// Reads a response of Converse.
///
/// # Errors
/// When it is unreadable.
pub(crate) fn read_response(body: &[u8]) -> Result<ConverseResponse> {
    serde_json::from_slice(body).map_err(|error| {
        // Position and kind only: the text may contain output of the model.
        GatewayError::Unreadable(format!(
            "{:?} error at line {} column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })
}

/// Reads an event of ConverseStream.
///
/// # Errors
/// When it is unreadable.
pub(crate) fn read_event(frame: &Frame) -> Result<StreamEvent<'_>> {
    StreamEvent::from_frame_parts(&frame.event_type, &frame.payload)
        .map_err(|error| GatewayError::Unreadable(format!("event {}", error.event_type)))
}
