//! What goes wrong on the way of a request, and what the client and the operator of the gateway learn.
//!
//! One enum for the whole pipeline: a status, a stable word for metrics and logs, and a body in the
//! client's dialect with AWS's own message, both request ids and a hint. What only the operator of the
//! gateway may see goes to the log.

mod anthropic;

use std::{borrow::Cow, fmt};

use api::catalogue;
use axum::{body::Body, response::Response};
use bedrock::{Class, ServiceError, eventstream::FrameError};
use bytes::Bytes;
use credentials::Unavailable;
use dialects::{
    openai::ErrorBody,
    translation::{RequestError, UpstreamError},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use crate::http::{hints, over_limit::OverLimit};

/// By which the packages of OpenAI and Anthropic are told not to try again at once, as they do after each 429.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");
/// Most names of models listed in an error.
const LONGEST_LIST: usize = 20;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// Nobody that this gateway knows.
    #[error("{message}")]
    Unauthenticated {
        /// What is missing or wrong.
        message: String,
        /// Such as `missing_api_key`.
        code: &'static str,
    },
    /// Somebody, but without this right.
    #[error("{message}")]
    Forbidden {
        /// What is not allowed, and who can change that.
        message: String,
    },
    /// No such path.
    #[error(
        "there is nothing at {path}; this gateway serves POST /v1/chat/completions, POST /v1/responses, POST /v1/messages, POST /v1/messages/count_tokens, POST /v1/embeddings, POST /v1/images/generations, POST /v1/rerank and GET /v1/models"
    )]
    UnknownPath {
        /// As asked for.
        path: String,
    },
    /// A path that is there, with another method.
    #[error("{path} does not take {method}; use {allowed}")]
    WrongMethod {
        /// As asked for.
        path: String,
        /// As asked for.
        method: String,
        /// What it takes.
        allowed: &'static str,
    },
    /// Neither an alias nor an id that is allowed.
    #[error("{}", unknown_model(model, allowed))]
    UnknownModel {
        /// As asked for.
        model: String,
        /// What this caller may ask for.
        allowed: Vec<String>,
    },
    /// A model that tokens are not counted for.
    #[error("the tokens of a request cannot be counted for {model:?}: {why}")]
    TokensUncounted {
        /// The model.
        model: String,
        /// Why not, and what to do.
        why: &'static str,
    },
    /// More than the limit.
    #[error(
        "the request body is larger than the {limit} bytes this gateway takes (limits.maxBodyBytes)"
    )]
    BodyTooLarge {
        /// In bytes.
        limit: u64,
    },
    /// The client stopped sending, or was too slow.
    #[error("the request body did not arrive: {0}")]
    BodyUnreadable(String),
    /// More requests in flight than allowed.
    #[error("the gateway is busy: {limit} requests are in flight already (limits.maxInFlight)")]
    Busy {
        /// The limit.
        limit: u32,
    },
    /// A limit on what may be asked for in a time is reached.
    #[error(transparent)]
    OverLimit(Box<OverLimit>),
    /// The gateway ends.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// A request that cannot be translated.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Nothing to sign with.
    #[error(transparent)]
    Credentials(#[from] Unavailable),
    /// AWS refused.
    #[error("{}", .0.error)]
    Service(Box<Refusal>),
    /// No answer: name, network, certificate.
    #[error("unable to reach Bedrock at {endpoint}: {cause}")]
    Unreachable {
        /// Host and port.
        endpoint: String,
        /// The causes, outermost first.
        cause: String,
    },
    /// No answer in time.
    #[error("Bedrock did not answer within {seconds} seconds")]
    Timeout {
        /// The limit.
        seconds: u64,
    },
    /// A stream that fell silent.
    #[error("Bedrock's stream was silent for {seconds} seconds")]
    StreamIdle {
        /// The limit.
        seconds: u64,
    },
    /// A stream that ended before its end.
    #[error("Bedrock's stream broke off before its end")]
    StreamCut,
    /// Bytes that are no event stream.
    #[error("Bedrock's stream could not be read")]
    StreamGarbled(#[source] FrameError),
    /// An answer that is not what Bedrock answers.
    #[error("Bedrock's answer could not be read: {0}")]
    Unreadable(String),
    /// An answer that cannot be given to the client.
    #[error(transparent)]
    Answer(Box<UpstreamError>),
    /// A fault of the gateway's own; details are in the log.
    #[error("the gateway failed: {0}")]
    Internal(&'static str),
}

/// What AWS said no to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What AWS said.
    pub error: ServiceError,
    /// The model it was about.
    pub model_id: String,
    /// The region that was asked.
    pub region: String,
    /// The response itself, for clients that speak Bedrock's own language; none for an exception in a stream.
    pub original: Option<Original>,
}

/// A response of AWS as it came.
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
        Self::Answer(Box::new(error))
    }
}

fn unknown_model(model: &str, allowed: &[String]) -> String {
    if allowed.is_empty() {
        return format!(
            "the model {model:?} does not exist or you do not have access to it; no models are configured for you"
        );
    }
    let mut names: Vec<&str> = allowed
        .iter()
        .map(String::as_str)
        .take(LONGEST_LIST)
        .collect();
    if allowed.len() > LONGEST_LIST {
        names.push("…");
    }
    format!(
        "the model {model:?} does not exist or you do not have access to it; you may use: {}",
        names.join(", ")
    )
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
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyUnreadable(_) => StatusCode::REQUEST_TIMEOUT,
            Self::Busy { .. } | Self::ShuttingDown | Self::Credentials(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::OverLimit(_) => StatusCode::TOO_MANY_REQUESTS,
            Self::Request(_) => StatusCode::BAD_REQUEST,
            Self::Service(refusal) => service_status(&refusal.error),
            Self::Timeout { .. } | Self::StreamIdle { .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Unreachable { .. }
            | Self::StreamCut
            | Self::StreamGarbled(_)
            | Self::Unreadable(_) => StatusCode::BAD_GATEWAY,
            Self::Answer(error) => {
                StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_GATEWAY)
            }
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A stable word for metrics and logs, and the `code` of the client's error.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unauthenticated { code, .. } => code,
            Self::Forbidden { .. } => "permission_denied",
            Self::UnknownPath { .. } => "unknown_path",
            Self::WrongMethod { .. } => "method_not_allowed",
            Self::UnknownModel { .. } => "model_not_found",
            Self::TokensUncounted { .. } => "count_tokens_unsupported",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyUnreadable(_) => "body_unreadable",
            Self::Busy { .. } => "gateway_busy",
            Self::OverLimit(limit) => limit.reason(),
            Self::ShuttingDown => "gateway_shutting_down",
            Self::Request(error) => error.code,
            Self::Credentials(_) => "credentials_unavailable",
            Self::Service(refusal) => &refusal.error.name,
            Self::Unreachable { .. } => "upstream_unreachable",
            Self::Timeout { .. } => "upstream_timeout",
            Self::StreamIdle { .. } => "stream_idle",
            Self::StreamCut => "stream_cut",
            Self::StreamGarbled(_) => "stream_garbled",
            Self::Unreadable(_) => "upstream_unreadable",
            Self::Answer(error) => &error.code,
            Self::Internal(_) => "internal_error",
        }
    }

    /// What to do about it where that is known; for a model that a region lacks, also where it is.
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
                hints::hint("", &unavailable.message).map(Cow::Borrowed)
            }
            _ => None,
        }
    }

    /// Whether the same target may well answer a little later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Service(refusal) => refusal.error.class().is_transient(),
            Self::Unreachable { .. } | Self::StreamCut => true,
            _ => false,
        }
    }

    /// Whether another target may answer where this one did not.
    pub(crate) fn is_local(&self) -> bool {
        match self {
            Self::Service(refusal) => refusal.error.class().is_local(),
            // Another target may be called by a role of its own.
            Self::Credentials(_)
            | Self::Timeout { .. }
            | Self::Unreadable(_)
            | Self::StreamGarbled(_) => true,
            _ => self.is_transient(),
        }
    }

    /// The error for a client, in a body or as the last event of a stream.
    pub(crate) fn body(&self, request_id: &str) -> ErrorBody {
        let mut extra = Map::new();
        extra.insert("request_id".to_owned(), Value::from(request_id));
        if let Self::Service(refusal) = self {
            if let Some(id) = &refusal.error.request_id {
                extra.insert("aws_request_id".to_owned(), Value::from(id.as_str()));
            }
            extra.insert("region".to_owned(), Value::from(refusal.region.as_str()));
        }
        if let Some(hint) = self.hint() {
            extra.insert("hint".to_owned(), Value::from(hint.as_ref()));
        }
        let message = match self {
            Self::Service(refusal) => refusal.error.message.clone(),
            other => other.to_string(),
        };
        let param = match self {
            Self::Request(error) => error.param.clone(),
            Self::UnknownModel { .. } => Some("model".to_owned()),
            _ => None,
        };
        ErrorBody {
            status: self.status().as_u16(),
            kind: match self {
                Self::OverLimit(limit) => limit.openai_type().to_owned(),
                _ => String::new(),
            },
            code: Some(self.reason().to_owned()),
            param,
            message,
            extra,
        }
    }

    /// The error as a response.
    pub(crate) fn response(&self, request_id: &str) -> Response {
        self.with_headers(self.status(), self.body(request_id).to_vec())
    }

    /// A response with the headers that belong to the error, whatever the dialect.
    fn with_headers(&self, status: StatusCode, body: Vec<u8>) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        match self {
            Self::Unauthenticated { .. } => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::WrongMethod { allowed, .. } => {
                headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
            }
            Self::Busy { .. } | Self::ShuttingDown => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::OverLimit(limit) => {
                headers.insert(header::RETRY_AFTER, limit.retry_after_seconds().into());
                if limit.is_of_the_day() {
                    headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
                }
            }
            // What is left of the body is not read.
            Self::BodyTooLarge { .. } | Self::BodyUnreadable(_) => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// AWS's status, except where it speaks of the gateway's credentials: to the client, 401 or 403 would
/// say that its own key is wrong.
fn service_status(error: &ServiceError) -> StatusCode {
    match error.class() {
        Class::Authentication | Class::ExpiredCredentials | Class::ClockSkew => {
            StatusCode::BAD_GATEWAY
        }
        // How Bedrock's endpoints in other protocols say the same.
        _ if error.status == StatusCode::UNAUTHORIZED.as_u16() => StatusCode::BAD_GATEWAY,
        _ => StatusCode::from_u16(error.status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .unwrap_or(StatusCode::BAD_GATEWAY),
    }
}

/// The causes of an error, outermost first, without repeating what one already says.
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
mod tests {
    use super::*;

    fn service(name: &str, status: u16, message: &str) -> GatewayError {
        GatewayError::Service(Box::new(Refusal {
            error: ServiceError {
                status,
                name: name.to_owned(),
                message: message.to_owned(),
                request_id: Some("aws-1".to_owned()),
            },
            model_id: "m".to_owned(),
            region: "us-east-1".to_owned(),
            original: None,
        }))
    }

    #[test]
    fn each_aws_error_keeps_its_status_unless_it_is_about_the_gateways_own_credentials() {
        for (name, received, expected) in [
            ("ValidationException", 400, 400),
            ("AccessDeniedException", 403, 403),
            ("ResourceNotFoundException", 404, 404),
            ("ModelTimeoutException", 408, 408),
            ("ModelErrorException", 424, 424),
            ("ThrottlingException", 429, 429),
            ("ModelNotReadyException", 429, 429),
            ("InternalServerException", 500, 500),
            ("ServiceUnavailableException", 503, 503),
            ("UnrecognizedClientException", 403, 502),
            ("ExpiredTokenException", 403, 502),
            ("InvalidSignatureException", 403, 502),
            ("SomethingNewException", 418, 418),
        ] {
            let error = service(name, received, "text");
            assert_eq!(error.status().as_u16(), expected, "{name}");
            assert_eq!(error.reason(), name);
        }
    }

    #[test]
    fn body_keeps_awss_message_both_request_ids_and_a_hint() {
        let error = service(
            "ValidationException",
            400,
            "The provided model identifier is invalid.",
        );
        assert!(!error.is_local());
        let body: Value = serde_json::from_slice(&error.body("req_1").to_vec()).unwrap();
        let error = &body["error"];
        assert_eq!(
            error["message"],
            "The provided model identifier is invalid."
        );
        assert_eq!(error["type"], "invalid_request_error");
        assert_eq!(error["code"], "ValidationException");
        assert_eq!(error["request_id"], "req_1");
        assert_eq!(error["aws_request_id"], "aws-1");
        assert!(error["hint"].as_str().unwrap().contains("region"));
    }

    #[test]
    fn unknown_model_lists_what_is_allowed_but_not_without_end() {
        let allowed: Vec<String> = (0..30).map(|n| format!("m{n}")).collect();
        let error = GatewayError::UnknownModel {
            model: "x".to_owned(),
            allowed,
        };
        let text = error.to_string();
        assert!(text.contains("m0, m1") && text.contains("m19, …") && !text.contains("m20"));
        assert_eq!(error.status(), StatusCode::NOT_FOUND);
    }
}
