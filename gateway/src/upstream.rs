//! One request of a client to Bedrock and back: targets in turn, until one answers. Step 5.
//!
//! Retries and failover happen only here, before anything of an answer has gone to the client. For a
//! stream that means until its first event: an exception frame in its place counts as a refusal.

mod client;
mod retry;
mod send;
mod sign;
mod stream;

use std::sync::Arc;

use bedrock::{ServiceError, eventstream::MessageType};
use bytes::Bytes;
use http::{HeaderMap, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use tokio::time::{sleep, timeout};

use crate::{
    account::Trace,
    app::State,
    error::{GatewayError, Refusal},
    live::Live,
    route::Target,
};
pub(crate) use client::{Client, Pool, connect, pool, tls};
use retry::{Next, Plan};
pub(crate) use stream::Frames;

/// Largest answer that is not a stream.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const REQUEST_ID: &str = "x-amzn-requestid";

/// A request translated for one target, and what is needed to translate its answer back.
#[derive(Debug)]
pub(crate) struct Prepared<C> {
    pub(crate) operation: Operation,
    pub(crate) body: Bytes,
    pub(crate) context: C,
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

/// An operation of Bedrock Runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Converse,
    ConverseStream,
    InvokeModel,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer<C> {
    /// Who answered.
    pub(crate) target: Arc<Target>,
    pub(crate) content: Content,
    pub(crate) headers: HeaderMap,
    pub(crate) context: C,
}

#[derive(Debug)]
pub(crate) enum Content {
    Whole(Bytes),
    /// With its first event.
    Stream(Box<Frames>),
}

impl Operation {
    /// Last segment of the path.
    fn path(self) -> &'static str {
        match self {
            Self::Converse => "converse",
            Self::ConverseStream => "converse-stream",
            Self::InvokeModel => "invoke",
        }
    }

    fn is_stream(self) -> bool {
        self == Self::ConverseStream
    }

    fn accept(self) -> &'static str {
        if self.is_stream() {
            EVENT_STREAM
        } else {
            "application/json"
        }
    }
}

impl<C> Call<C> {
    /// Tries the targets until one answers or none is left to try.
    ///
    /// # Errors
    /// What the last target said, or that time is up.
    pub(crate) async fn perform(self, trace: &mut Trace) -> Result<Answer<C>, GatewayError> {
        let patience = self.live.upstream_patience();
        match timeout(patience, self.try_targets(trace)).await {
            Ok(result) => result,
            Err(_elapsed) => Err(GatewayError::Timeout {
                seconds: patience.as_secs(),
            }),
        }
    }

    async fn try_targets(self, trace: &mut Trace) -> Result<Answer<C>, GatewayError> {
        let mut plan = Plan::new(self.targets.len());
        let mut index = 0;
        let mut prepared = self.first;
        loop {
            let Some(target) = self.targets.get(index) else {
                return Err(GatewayError::Internal("a request without a target"));
            };
            let exchange = send::Exchange {
                client: self.state.client(),
                credentials: &self.live.credentials,
                target,
                operation: prepared.operation,
                body: &prepared.body,
            };
            let result = match exchange.perform(trace).await {
                Ok(response) => receive(prepared.operation, target, response).await,
                Err(error) => Err(error),
            };
            let said = result.as_ref().map_or_else(GatewayError::reason, |_| "ok");
            trace.attempt(&target.model_id, target.region.as_str(), said);
            let error = match result {
                Ok((headers, content)) => {
                    trace.answered_by(request_id(&headers));
                    return Ok(Answer {
                        target: Arc::clone(target),
                        content,
                        headers,
                        context: prepared.context,
                    });
                }
                Err(error) => error,
            };
            match plan.after(&error, fastrand::f64()) {
                Next::GiveUp => return Err(error),
                Next::Try { target: next, wait } => {
                    tracing::warn!(
                        request_id = trace.request_id(),
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

/// Reads an answer: all of it, or up to the first event of a stream.
async fn receive(
    operation: Operation,
    target: &Target,
    response: Response<Incoming>,
) -> Result<(HeaderMap, Content), GatewayError> {
    let (parts, body) = response.into_parts();
    if !operation.is_stream() {
        let body = Limited::new(body, MAX_ANSWER_BYTES);
        let whole = body.collect().await.map_err(|_| GatewayError::StreamCut)?;
        return Ok((parts.headers, Content::Whole(whole.to_bytes())));
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_none_or(|kind| !kind.as_bytes().starts_with(EVENT_STREAM.as_bytes())) {
        return Err(GatewayError::Unreadable(
            "expected an event stream".to_owned(),
        ));
    }
    let mut frames = Frames::new(body, request_id(&parts.headers));
    let first = loop {
        if let Some(frame) = frames.buffered()? {
            break frame;
        }
        if !frames.fill().await? {
            return Err(GatewayError::StreamCut);
        }
    };
    if first.message_type != MessageType::Event {
        let error = ServiceError::from_frame(&first).with_request_id(request_id(&parts.headers));
        return Err(refused(error, target));
    }
    frames.put_back(first);
    Ok((parts.headers, Content::Stream(Box::new(frames))))
}

/// AWS's refusal of a call of `target`.
pub(crate) fn refused(error: ServiceError, target: &Target) -> GatewayError {
    GatewayError::Service(Box::new(Refusal {
        error,
        model_id: target.model_id.clone(),
        region: target.region.to_string(),
    }))
}

fn request_id(headers: &HeaderMap) -> Option<String> {
    headers
        .get(REQUEST_ID)?
        .to_str()
        .ok()
        .map(ToOwned::to_owned)
}
