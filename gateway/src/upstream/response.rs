//! Responses of Bedrock: complete, or up to the first event of a stream.

use std::sync::Arc;

use bedrock::{
    ServiceError,
    eventstream::{self, MessageType},
    sse,
};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{
    operation::{Framing, Operation},
    stream::{Events, Frames, MAX_EVENT_BYTES},
    target::Target,
};
use crate::{
    http::{
        error::{GatewayError, Original, Refusal, Result},
        response::AWS_REQUEST_ID,
    },
    measure::{self, Step},
};

/// Largest complete response.
const MAX_RESPONSE_BYTES: usize = 256 * 1024 * 1024;

/// The response of a target.
#[derive(Debug)]
pub(crate) struct UpstreamResponse<C> {
    pub(crate) target: Arc<Target>,
    /// When the target got the request.
    pub(crate) began: Instant,
    pub(crate) content: Content,
    pub(crate) headers: HeaderMap,
    /// Parts of the request that were dropped or changed for this target.
    pub(crate) warnings: Vec<String>,
    /// The state for encoding the response.
    pub(crate) context: C,
}

/// The body of a response.
#[derive(Debug)]
pub(crate) enum Content {
    Whole(Bytes),
    /// An event stream whose first frame has arrived and is not an exception.
    Stream(Box<Frames>),
    /// Server-sent events; the first has arrived and is not an error.
    Events(Box<Events>),
}

impl Content {
    /// The body of a complete response.
    ///
    /// # Errors
    /// For a stream: an operation without a stream never returns one.
    pub(crate) fn whole(self) -> Result<Bytes> {
        match self {
            Self::Whole(body) => Ok(body),
            Self::Stream(_) | Self::Events(_) => Err(GatewayError::Internal("unexpected stream")),
        }
    }
}

/// Reads a response: all of it, or up to the first event of a stream.
///
/// # Errors
/// When the response is unreadable, or the first event is an error.
pub(super) async fn receive(
    operation: Operation,
    target: &Target,
    response: Response<Incoming>,
) -> Result<(HeaderMap, Content)> {
    let (parts, body) = response.into_parts();
    let framing = operation.framing();
    if let Some(expected) = framing.media_type() {
        let kind = parts.headers.get(header::CONTENT_TYPE);
        if kind.is_none_or(|kind| !kind.as_bytes().starts_with(expected.as_bytes())) {
            return Err(GatewayError::Unreadable(format!("expected {expected}")));
        }
    }
    let id = request_id(&parts.headers);
    let content = match framing {
        Framing::Whole => {
            let body = Limited::new(body, MAX_RESPONSE_BYTES);
            let whole = measure::part(Step::Client, body.collect()).await;
            let whole = whole.map_err(|_| GatewayError::StreamCut)?;
            Content::Whole(whole.to_bytes())
        }
        Framing::EventStream => {
            let decoder = eventstream::Decoder::new(MAX_EVENT_BYTES);
            let mut frames = Frames::new(body, decoder, id.clone());
            let first = frames.first().await?;
            if first.message_type != MessageType::Event {
                let error = ServiceError::from_frame(&first).with_request_id(id);
                return Err(refused(error, target, None));
            }
            Content::Stream(Box::new(frames))
        }
        Framing::ServerSentEvents => {
            let decoder = sse::Decoder::new(MAX_EVENT_BYTES);
            let mut events = Events::new(body, decoder, id.clone());
            let first = events.first().await?;
            if let Some(error) = error_event(&first) {
                return Err(refused(error.with_request_id(id), target, None));
            }
            Content::Events(Box::new(events))
        }
    };
    Ok((parts.headers, content))
}

/// The error in an event of an OpenAI or Anthropic stream, if any.
pub(crate) fn error_event(event: &sse::Event) -> Option<ServiceError> {
    // A cheap check for the many events without an error.
    if event.name() != "error" && !event.data.starts_with(b"{\"error\"") {
        return None;
    }
    ServiceError::from_json(&serde_json::from_slice(&event.data).ok()?)
}

/// An error of AWS for a call to `target`.
pub(crate) fn refused(
    error: ServiceError,
    target: &Target,
    original: Option<Original>,
) -> GatewayError {
    GatewayError::Service(Box::new(Refusal {
        error,
        model_id: target.model_id.clone(),
        region: target.region.to_string(),
        original,
    }))
}

/// AWS's request id.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(&AWS_REQUEST_ID)?.to_str().ok()?;
    Some(id.to_owned())
}
