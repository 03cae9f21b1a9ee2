//! One request of a client to Bedrock and back: targets in turn, until one answers. Step 5.
//!
//! Retries and failover happen only here, before anything of an answer has gone to the client. For a
//! stream that means until its first event: an exception in its place counts as a refusal.
//!
//! A handler says in [`Prepare`] what a target gets: the operation of the api that serves the client's
//! dialect, headers, body, and a context for the way back.
//!
//! ```text
//! let prepare: Prepare<Context> = Arc::new(move |target: &Target| {
//!     let api = target.capabilities.apis.messages.ok_or_else(not_for_messages)?;
//!     let operation = match api {
//!         BedrockApi::Converse => Operation::ConverseStream,
//!         BedrockApi::InvokeModel => Operation::InvokeModelWithResponseStream,
//!         api => Operation::Passthrough { api, protocol: Protocol::Messages, stream: true },
//!     };
//!     let mut headers = HeaderMap::new(); // such as anthropic-version
//!     // Converse takes the forced guardrail in its body; all others that can make text take it here.
//!     guardrail::force(&live.config, operation, &mut headers)?;
//!     Ok(Prepared { operation, headers, body: translate(target, operation)?, warnings, context })
//! });
//! let answer = Call { state, live, targets, first: prepare(&first)?, prepare }.perform(calls).await?;
//! match answer.content {
//!     Content::Whole(body) => …,
//!     // Piece by piece: `buffered()` until it is none, then `fill()`. Byte by byte: `into_raw()`, `next()`.
//!     Content::Stream(frames) => …,
//!     // The same for server-sent events; `event.raw` is an event as it came, see also [`error_event`].
//!     Content::Events(events) => …,
//! }
//! ```

use std::{sync::Arc, time::Duration};

use bedrock::{
    ServiceError,
    apis::{BedrockApi, Protocol},
    eventstream::{self, MessageType},
    sse,
};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use super::{
    guardrail,
    operation::{Framing, Operation},
    retry::{Next, Plan},
    send,
    stream::{Events, Frames, MAX_PIECE_BYTES},
};
use crate::{
    http::error::{GatewayError, Original, Refusal},
    pipeline::{active_config::Live, record::Calls, route::Target},
    server::router::State,
};

/// Largest answer that is not a stream.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
const REQUEST_ID: &str = "x-amzn-requestid";

/// A request translated for one target, and what is needed to translate its answer back.
#[derive(Debug)]
pub(crate) struct Prepared<C> {
    pub(crate) operation: Operation,
    /// Sent besides what every call has; `content-type` and `accept` win over the operation's.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// What was dropped or changed on the way to this target, for the client to know.
    pub(crate) warnings: Vec<String>,
    /// What the way back needs.
    pub(crate) context: C,
}

impl<C> Prepared<C> {
    /// A request that goes to the model in the client's own protocol.
    ///
    /// # Errors
    /// When the guardrail that is forced on every request cannot be asked for in headers.
    pub(crate) fn passthrough(
        live: &Live,
        api: BedrockApi,
        protocol: Protocol,
        (body, stream): (Vec<u8>, bool),
        context: C,
    ) -> Result<Self, GatewayError> {
        let operation = Operation::Passthrough {
            api,
            protocol,
            stream,
        };
        let mut headers = HeaderMap::new();
        guardrail::force(&live.config, operation, &mut headers)?;
        Ok(Self {
            operation,
            headers,
            body: body.into(),
            warnings: Vec::new(),
            context,
        })
    }
}

/// Translates the client's request for a target; models differ in what they take.
pub(crate) type Prepare<C> =
    Arc<dyn Fn(&Target) -> Result<Prepared<C>, GatewayError> + Send + Sync>;

/// A request on its way.
pub(crate) struct Call<C> {
    pub(crate) state: State,
    pub(crate) live: Arc<Live>,
    /// In the order they are to be tried; never empty.
    pub(crate) targets: Vec<Arc<Target>>,
    pub(crate) prepare: Prepare<C>,
    /// The request as prepared for the first target.
    pub(crate) first: Prepared<C>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer<C> {
    /// Who answered.
    pub(crate) target: Arc<Target>,
    pub(crate) content: Content,
    pub(crate) headers: HeaderMap,
    /// Of the request as this target got it.
    pub(crate) warnings: Vec<String>,
    pub(crate) context: C,
}

#[derive(Debug)]
pub(crate) enum Content {
    Whole(Bytes),
    /// An event stream; its first frame is there and is no exception.
    Stream(Box<Frames>),
    /// Server-sent events; the first is there and is no error.
    Events(Box<Events>),
}

impl<C> Call<C> {
    /// Tries the targets until one answers or none is left to try.
    ///
    /// # Errors
    /// What the last target said, or that time is up.
    pub(crate) async fn perform(self, calls: &mut Calls) -> Result<Answer<C>, GatewayError> {
        let time_limit = self.live.upstream_timeout();
        match timeout(time_limit, self.try_targets(calls)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(GatewayError::Timeout {
                seconds: time_limit.as_secs(),
            }),
        }
    }

    async fn try_targets(self, calls: &mut Calls) -> Result<Answer<C>, GatewayError> {
        let mut plan = Plan::new(self.targets.len());
        let mut index = 0;
        let mut prepared = self.first;
        let mut timeout = send::CREDENTIALS_TIMEOUT;
        loop {
            let Some(target) = self.targets.get(index) else {
                return Err(GatewayError::Internal("a request without a target"));
            };
            let exchange = send::Exchange {
                client: self.state.client(),
                credentials: self.live.sessions.of(target)?,
                // Other targets do not wait again, and those of a role never.
                timeout: match &target.assume_role {
                    None => timeout,
                    Some(_) => Duration::ZERO,
                },
                target,
                operation: prepared.operation,
                headers: &prepared.headers,
                body: &prepared.body,
            };
            calls.begin(target, || target.url(prepared.operation).ok());
            let result = match exchange.perform(calls).await {
                Ok(response) => receive(prepared.operation, target, response).await,
                Err(error) => Err(error),
            };
            let error = match result {
                Ok((headers, content)) => {
                    calls.answered(target, request_id(&headers));
                    return Ok(Answer {
                        target: Arc::clone(target),
                        content,
                        headers,
                        warnings: prepared.warnings,
                        context: prepared.context,
                    });
                }
                Err(error) => error,
            };
            calls.failed(target, &error);
            if matches!(error, GatewayError::Credentials(_)) {
                timeout = Duration::ZERO;
            }
            match plan.after(&error, fastrand::f64()) {
                Next::GiveUp => return Err(error),
                Next::Try { target: next, wait } => {
                    tracing::warn!(
                        request_id = calls.request_id(),
                        model = target.model_id,
                        region = target.region.as_str(),
                        reason = error.reason(),
                        wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX),
                        failover = next != index,
                        "Bedrock refused, trying again"
                    );
                    sleep(wait).await;
                    if next != index {
                        let target = self
                            .targets
                            .get(next)
                            .ok_or(GatewayError::Internal("a plan beyond its targets"))?;
                        prepared = (self.prepare)(target)?;
                    }
                    index = next;
                }
            }
        }
    }
}

/// Reads an answer: all of it, or up to the first piece of a stream.
async fn receive(
    operation: Operation,
    target: &Target,
    response: Response<Incoming>,
) -> Result<(HeaderMap, Content), GatewayError> {
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
            let body = Limited::new(body, MAX_ANSWER_BYTES);
            let whole = body.collect().await.map_err(|_| GatewayError::StreamCut)?;
            Content::Whole(whole.to_bytes())
        }
        Framing::EventStream => {
            let decoder = eventstream::Decoder::new(MAX_PIECE_BYTES);
            let mut frames = Frames::new(body, decoder, id.clone());
            let first = frames.first().await?;
            if first.message_type != MessageType::Event {
                let error = ServiceError::from_frame(&first).with_request_id(id);
                return Err(refused(error, target, None));
            }
            Content::Stream(Box::new(frames))
        }
        Framing::ServerSentEvents => {
            let decoder = sse::Decoder::new(MAX_PIECE_BYTES);
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

/// The error that an event of a stream in OpenAI's or Anthropic's protocol is, if it is one.
pub(crate) fn error_event(event: &sse::Event) -> Option<ServiceError> {
    // The shortest look at events that are none.
    if event.name() != "error" && !event.data.starts_with(b"{\"error\"") {
        return None;
    }
    ServiceError::from_json(&serde_json::from_slice(&event.data).ok()?)
}

/// AWS's refusal of a call of `target`.
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

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers
        .get(REQUEST_ID)?
        .to_str()
        .ok()
        .map(ToOwned::to_owned)
}
