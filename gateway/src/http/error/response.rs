//! An error as a response: its body in the OpenAI dialect, and the headers that all dialects share.

use axum::{body::Body, response::Response};
use bedrock::Class;
use dialects::openai::ErrorBody;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Map, Value};

use super::{GatewayError, retry_after};

/// Tells the OpenAI and Anthropic SDKs whether to retry; without it they retry every 429.
pub(crate) const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

impl GatewayError {
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
            code: Some(self.code().to_owned()),
            param,
            message: self.message(),
            extra,
        }
    }

    /// The error as a response in the OpenAI dialect.
    pub(crate) fn response(&self, request_id: &str) -> Response {
        self.with_headers(self.status(), self.body(request_id).to_vec())
    }

    /// A response with the headers of the error, which are the same in both dialects.
    pub(super) fn with_headers(&self, status: StatusCode, body: Vec<u8>) -> Response {
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        self.set_headers(headers);
        match self {
            Self::Unauthenticated { .. } => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Self::OverLimit(limit) if limit.is_lasting() => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
            }
            // SDKs do not retry AWS's status 424 on their own.
            Self::Service(refusal) if refusal.error.class() == Class::Model => {
                headers.insert(SHOULD_RETRY, HeaderValue::from_static("true"));
            }
            _ => {}
        }
        response
    }

    /// Sets the headers of the error that all dialects share.
    pub(crate) fn set_headers(&self, headers: &mut HeaderMap) {
        let (name, value) = match self {
            Self::WrongMethod { allowed, .. } => (header::ALLOW, HeaderValue::from_static(allowed)),
            Self::Busy { .. }
            | Self::UnprovenBusy
            | Self::MemoryBusy { .. }
            | Self::BudgetStore
            | Self::ShuttingDown => (header::RETRY_AFTER, HeaderValue::from_static("1")),
            Self::OverLimit(limit) => (header::RETRY_AFTER, limit.retry_after_seconds().into()),
            // The gateway does not read the rest of the body.
            Self::BodyTooLarge { .. }
            | Self::BodyOverMemory { .. }
            | Self::BodyUnreadable(_)
            | Self::BodyMalformed(_) => (header::CONNECTION, HeaderValue::from_static("close")),
            Self::Service(refusal) => match retry_after::of(refusal) {
                Some(value) => (header::RETRY_AFTER, value),
                None => return,
            },
            _ => return,
        };
        headers.insert(name, value);
    }
}
