//! Anthropic's error body: `{"type":"error","error":{"type","message"},"request_id"}`.
//! <https://docs.claude.com/en/api/errors>

use serde::Serialize;
use serde_json::{Map, Value};

/// The type of errors that every client retries.
pub const OVERLOADED: &str = "overloaded_error";

/// An error for a body or a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorBody {
    /// HTTP status.
    pub status: u16,
    /// Anthropic's `type`; if empty, the type for the status.
    pub kind: &'static str,
    /// The message for humans.
    pub message: String,
    /// The gateway's request id.
    pub request_id: Option<String>,
    /// Further members of the error object, such as `hint`.
    pub extra: Map<String, Value>,
}

#[derive(Serialize)]
pub(crate) struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    error: Inner<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

#[derive(Serialize)]
struct Inner<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    message: &'a str,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

impl ErrorBody {
    /// The error of a truncated stream.
    pub(crate) fn truncated() -> Self {
        Self {
            status: 502,
            kind: OVERLOADED,
            message: "Bedrock ended the stream before the response was complete".to_owned(),
            ..Self::default()
        }
    }

    pub(crate) fn envelope(&self) -> Envelope<'_> {
        Envelope {
            kind: "error",
            error: Inner {
                kind: if self.kind.is_empty() {
                    kind_of(self.status)
                } else {
                    self.kind
                },
                message: &self.message,
                extra: &self.extra,
            },
            request_id: self.request_id.as_deref(),
        }
    }

    /// The error as a body.
    pub fn to_vec(&self) -> Vec<u8> {
        // Strings and maps always serialize.
        serde_json::to_vec(&self.envelope()).unwrap_or_default()
    }
}

/// Anthropic's `type` for a status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => OVERLOADED,
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_anthropics_type() {
        for (status, kind) in [
            (400, "invalid_request_error"),
            (401, "authentication_error"),
            (403, "permission_error"),
            (404, "not_found_error"),
            (405, "invalid_request_error"),
            (413, "request_too_large"),
            (429, "rate_limit_error"),
            (500, "api_error"),
            (502, "api_error"),
            (504, "timeout_error"),
            (529, "overloaded_error"),
        ] {
            assert_eq!(kind_of(status), kind, "{status}");
        }
    }

    #[test]
    fn body_has_anthropics_members_and_a_hint() {
        let mut extra = Map::new();
        extra.insert("hint".to_owned(), "wait".into());
        let error = ErrorBody {
            status: 429,
            message: "slow \"down\"".to_owned(),
            request_id: Some("req_1".to_owned()),
            extra,
            ..ErrorBody::default()
        };
        assert_eq!(
            String::from_utf8(error.to_vec()).unwrap(),
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow \"down\"","hint":"wait"},"request_id":"req_1"}"#
        );
    }
}
