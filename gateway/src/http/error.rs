//! Errors of a request, for the client and for the log.
//!
//! One enum for the whole pipeline: a status, a stable reason for metrics and logs, and a body in the
//! client's dialect with AWS's message, both request ids and a hint. Details for the gateway's administrator are
//! in the log only.

mod anthropic;
mod message;
mod response;
mod retry_after;
mod text;

use std::{borrow::Cow, fmt, time::Duration};

use api::catalogue;
use bedrock::{Class, ServiceError, eventstream::FrameError};
use bytes::Bytes;
use credentials::Unavailable;
use dialects::translation::{RequestError, UpstreamError};
use http::{HeaderMap, StatusCode};

use crate::http::{hints, over_limit::OverLimit};

pub(crate) use message::{CONTEXT_EXCEEDED, says_overflow, with_hint};
pub(crate) use response::SHOULD_RETRY;

/// The result of a step of a request.
pub(crate) type Result<T, E = GatewayError> = std::result::Result<T, E>;

/// The error of a request.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Missing or invalid credentials of the client.
    #[error("{message}")]
    Unauthenticated {
        /// The problem and its fix.
        message: String,
        /// Such as `missing_api_key`.
        code: &'static str,
    },
    /// An authenticated client without permission.
    #[error("{message}")]
    Forbidden {
        /// The missing permission, and how to grant it.
        message: String,
    },
    /// No such path.
    #[error(
        "unknown path {path}; this gateway serves POST /v1/chat/completions, POST /v1/responses, POST /v1/messages, POST /v1/messages/count_tokens, POST /v1/embeddings, POST /v1/images/generations, POST /v1/rerank and GET /v1/models, and of Bedrock's API /model/{{id}}/converse, /converse-stream, /invoke, /invoke-with-response-stream and /count-tokens, /guardrail/{{id}}/version/{{version}}/apply, /foundation-models and /inference-profiles; GET / lists all paths"
    )]
    UnknownPath {
        /// From the request.
        path: String,
    },
    /// A known path with another method.
    #[error("{path} does not support {method}; use {allowed}")]
    WrongMethod {
        /// From the request.
        path: String,
        /// From the request.
        method: String,
        /// The supported methods.
        allowed: &'static str,
    },
    /// Neither an alias nor an allowed model id.
    #[error("{}", text::unknown_model(model, allowed))]
    UnknownModel {
        /// From the request.
        model: String,
        /// The names this client may use.
        allowed: Vec<String>,
    },
    /// A model for which Bedrock does not count tokens.
    #[error("token counting is not supported for {model:?}: {why}")]
    TokensUncounted {
        /// The model.
        model: String,
        /// The cause and its fix.
        why: &'static str,
    },
    /// A request body over the limit.
    #[error("the request body is larger than the limit of {limit} bytes (limits.maxBodyBytes)")]
    BodyTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A request body over the memory for bodies.
    #[error(
        "the request body is larger than {largest} bytes, which the gateway's memory limit allows: raise the memory limit of its container"
    )]
    BodyOverMemory {
        /// In bytes.
        largest: usize,
    },
    /// The client closed the connection or was too slow.
    #[error("failed to read the request body: {0}")]
    BodyUnreadable(String),
    /// Chunks that are not chunks of HTTP.
    #[error("invalid request body: {0}")]
    BodyMalformed(String),
    /// Too many open requests.
    #[error("the gateway is busy: {limit} requests are in flight (limits.maxInFlight)")]
    Busy {
        /// The limit.
        limit: u32,
    },
    /// Too many bytes of requests whose signature is not verified yet.
    #[error(
        "the gateway is busy: too many signed requests wait for verification; a client that sends x-amz-content-sha256, or the key as a bearer token, does not wait"
    )]
    UnprovenBusy,
    /// Too many bytes of request bodies.
    #[error(
        "the gateway is busy: request bodies occupy the {budget} bytes that its memory limit allows for bodies of this size"
    )]
    MemoryBusy {
        /// In bytes.
        budget: usize,
    },
    /// A rate limit is reached.
    #[error(transparent)]
    OverLimit(Box<OverLimit>),
    /// The store of a budget is unavailable, and the budget is closed then.
    #[error(
        "the store of a budget is unavailable, and its onStoreFailure is Closed; try again later"
    )]
    BudgetStore,
    /// The gateway is draining.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// An invalid or unsupported request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// No AWS credentials.
    #[error(transparent)]
    Credentials(#[from] Unavailable),
    /// AWS rejected the request.
    #[error("{}", .0.error)]
    Service(Box<Refusal>),
    /// No connection: DNS, network or TLS.
    #[error("unable to reach Bedrock at {endpoint}: {cause}")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// The causes, outermost first.
        cause: String,
    },
    /// No response in time.
    #[error("Bedrock did not respond within {seconds} seconds")]
    Timeout {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// A response that takes longer than the configuration allows.
    #[error("the response took longer than {seconds} seconds (limits.totalSeconds)")]
    TotalTime {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// A stream without data.
    #[error("Bedrock's stream sent no data for {seconds} seconds")]
    StreamIdle {
        /// The limit, in seconds.
        seconds: u64,
    },
    /// A connection that closed before the last event.
    #[error("Bedrock's stream ended early")]
    StreamCut,
    /// A connection that closed before the first event.
    #[error("Bedrock's stream ended before its first event")]
    StreamUnstarted,
    /// Data that is not an event stream.
    #[error("failed to decode Bedrock's stream")]
    StreamGarbled(#[source] FrameError),
    /// An unexpected response of Bedrock.
    #[error("failed to read Bedrock's response: {0}")]
    Unreadable(String),
    /// A response without an equivalent in the client's dialect.
    #[error(transparent)]
    Response(Box<UpstreamError>),
    /// A bug of the gateway.
    #[error("internal error: {0}")]
    Internal(&'static str),
}

/// A request that AWS rejected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// AWS's error.
    pub error: ServiceError,
    /// The model of the request.
    pub model_id: String,
    /// The region of the request.
    pub region: String,
    /// The HTTP response, for clients of Bedrock's own API; none for an exception in a stream.
    pub original: Option<Original>,
}

/// An unchanged HTTP response of AWS.
#[derive(Clone, PartialEq, Eq)]
pub struct Original {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl fmt::Debug for Original {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body may quote the request.
        f.debug_struct("Original")
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl From<UpstreamError> for GatewayError {
    fn from(error: UpstreamError) -> Self {
        Self::Response(Box::new(error))
    }
}

impl GatewayError {
    /// HTTP status for the client.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Unauthenticated { .. } => StatusCode::UNAUTHORIZED,
            Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::UnknownPath { .. } | Self::UnknownModel { .. } | Self::TokensUncounted { .. } => {
                StatusCode::NOT_FOUND
            }
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } | Self::BodyOverMemory { .. } => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::BodyUnreadable(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy { .. }
            | Self::UnprovenBusy
            | Self::MemoryBusy { .. }
            | Self::ShuttingDown
            | Self::BudgetStore
            | Self::Credentials(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::OverLimit(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Request(_) | Self::BodyMalformed(_) => StatusCode::BAD_REQUEST,
            // The model may fail on its input, too.
            Self::Service(_) if self.is_context_overflow() => StatusCode::BAD_REQUEST,
            Self::Service(refusal) => service_status(&refusal.error),
            Self::Timeout { .. } | Self::StreamIdle { .. } | Self::TotalTime { .. } => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Unreachable { .. }
            | Self::StreamCut
            | Self::StreamUnstarted
            | Self::StreamGarbled(_)
            | Self::Unreadable(_) => StatusCode::BAD_GATEWAY,
            Self::Response(error) => {
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The `code` of the client's error.
    fn code(&self) -> &str {
        if self.is_context_overflow() {
            CONTEXT_EXCEEDED
        } else {
            self.reason()
        }
    }

    /// A stable reason for metrics and logs.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unauthenticated { code, .. } => code,
            Self::Forbidden { .. } => "permission_denied",
            Self::UnknownPath { .. } => "unknown_path",
            Self::WrongMethod { .. } => "method_not_allowed",
            Self::UnknownModel { .. } => "model_not_found",
            Self::TokensUncounted { .. } => "count_tokens_unsupported",
            Self::BodyTooLarge { .. } | Self::BodyOverMemory { .. } => "body_too_large",
            Self::BodyUnreadable(_) => "body_unreadable",
            Self::BodyMalformed(_) => "body_malformed",
            Self::Busy { .. } | Self::UnprovenBusy | Self::MemoryBusy { .. } => "gateway_busy",
            Self::OverLimit(limit) => limit.reason(),
            Self::BudgetStore => "budget_store_unavailable",
            Self::ShuttingDown => "gateway_shutting_down",
            Self::Request(error) => error.code,
            Self::Credentials(_) => "credentials_unavailable",
            Self::Service(refusal) => &refusal.error.name,
            Self::Unreachable { .. } => "upstream_unreachable",
            Self::Timeout { .. } => "upstream_timeout",
            Self::TotalTime { .. } => "response_timeout",
            Self::StreamIdle { .. } => "stream_idle",
            Self::StreamCut | Self::StreamUnstarted => "stream_cut",
            Self::StreamGarbled(_) => "stream_garbled",
            Self::Unreadable(_) => "upstream_unreadable",
            Self::Response(error) => &error.code,
            Self::Internal(_) => "internal_error",
        }
    }

    /// A fix, if known; for a model that the region lacks, with the regions that have it.
    pub fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Service(refusal) => {
                let Refusal {
                    error,
                    model_id,
                    region,
                    original: _,
                } = refusal.as_ref();
                let hint = hints::hint(&error.name, &error.message)?;
                let advice = hints::is_about_model(hint)
                    .then(|| catalogue::builtin().advice(model_id, &region.parse().ok()?))
                    .flatten();
                Some(advice.map_or(Cow::Borrowed(hint), |advice| {
                    Cow::Owned(format!("{hint} {advice}"))
                }))
            }
            Self::Credentials(unavailable) => {
                Some(Cow::Borrowed(hints::for_credentials(unavailable)))
            }
            _ => None,
        }
    }

    /// The wait that AWS asks for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Service(refusal) => retry_after::asked(refusal),
            _ => None,
        }
    }

    /// Whether a retry on the same target may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Service(refusal) => refusal.error.class().is_transient(),
            // Not a response that broke off: the model has run.
            Self::Unreachable { .. } => true,
            _ => false,
        }
    }

    /// Whether another target may succeed.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Service(refusal) => refusal.error.class().is_local(),
            // Another target may use another role.
            Self::Credentials(_)
            | Self::Timeout { .. }
            | Self::Unreadable(_)
            | Self::StreamGarbled(_)
            | Self::StreamUnstarted => true,
            _ => self.is_transient(),
        }
    }

    /// Whether the failure is one of the target, not of the request: throttling, an error of the service, a timeout or a
    /// broken connection.
    pub(crate) fn is_of_target(&self) -> bool {
        match self {
            Self::Service(refusal) => {
                let class = refusal.error.class();
                class.is_transient() || class == Class::Timeout
            }
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::StreamIdle { .. }
            | Self::StreamCut
            | Self::StreamUnstarted
            | Self::StreamGarbled(_)
            | Self::Unreadable(_) => true,
            _ => false,
        }
    }
}

/// AWS's status, except for errors about the gateway's credentials: a client would take 401 or 403 for an error
/// of its own key.
fn service_status(error: &ServiceError) -> StatusCode {
    match error.class() {
        Class::Authentication | Class::ExpiredCredentials | Class::ClockSkew => {
            StatusCode::BAD_GATEWAY
        }
        // Bedrock's OpenAI and Anthropic endpoints use this status for the same errors.
        _ if error.status == StatusCode::UNAUTHORIZED.as_u16() => StatusCode::BAD_GATEWAY,
        _ => StatusCode::from_u16(error.status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::BAD_GATEWAY),
    }
}

/// An error and its causes, outermost first; a cause that the text already contains is left out.
pub(crate) fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests;
