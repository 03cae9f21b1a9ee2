//! Errors of this dialect, and their shape on the wire:
//! `{"error":{"message","type","param","code"}}`.

use bedrock::converse::TokenUsage;
use serde::Serialize;
use serde_json::{Map, Value};

/// `type` of an error the client can mend.
const INVALID_REQUEST: &str = "invalid_request_error";

/// A request that cannot be translated: 400, naming the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// Path of the field, such as `messages[2].content[0].image_url.url`.
    pub param: Option<String>,
    /// What is wrong and what would be right.
    pub message: String,
    /// A stable word, such as `unsupported_parameter`.
    pub code: &'static str,
}

impl RequestError {
    /// A value that makes no sense.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(param, message, "invalid_value")
    }

    /// A field that must be there.
    pub fn missing(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(param, message, "missing_required_parameter")
    }

    /// Something that Bedrock, or this model, cannot do.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(param, message, "unsupported_parameter")
    }

    pub(crate) fn not_json(error: &serde_json::Error) -> Self {
        Self {
            param: None,
            message: format!("the body is not a JSON object of the expected shape: {error}"),
            code: "invalid_json",
        }
    }

    pub(crate) fn no_object() -> Self {
        Self {
            param: None,
            message: "the body must be a JSON object".to_owned(),
            code: "invalid_json",
        }
    }

    fn new(param: impl Into<String>, message: impl Into<String>, code: &'static str) -> Self {
        let param = param.into();
        Self {
            message: format!("{param}: {}", message.into()),
            param: Some(param),
            code,
        }
    }

    /// The HTTP status: always 400.
    pub const fn status(&self) -> u16 {
        400
    }

    /// The error as this dialect's body.
    pub fn body(&self) -> Vec<u8> {
        error_body(
            self.status(),
            INVALID_REQUEST,
            Some(self.code),
            self.param.as_deref(),
            &self.message,
            &Map::new(),
        )
    }
}

/// Bedrock answered, but with nothing that can be given to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UpstreamError {
    /// HTTP status to answer with: 502.
    pub status: u16,
    /// Bedrock's stop reason, such as `malformed_model_output`.
    pub code: String,
    /// What happened.
    pub message: String,
    /// Tokens that were used all the same.
    pub usage: TokenUsage,
}

/// An error to write, in a body or in a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorBody {
    /// HTTP status; in a stream it stands in the event, since the headers are gone.
    pub status: u16,
    /// OpenAI's `type`; empty: what fits the status.
    pub kind: String,
    /// A stable word.
    pub code: Option<String>,
    /// Path of the field at fault.
    pub param: Option<String>,
    /// What happened, for people.
    pub message: String,
    /// Further members of the error object, such as `request_id` and `hint`.
    pub extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// Writes an error body. An empty `kind` becomes what OpenAI says for `status`; `extra` adds members
/// such as `request_id` and `hint` to the error object.
pub fn error_body(
    status: u16,
    kind: &str,
    code: Option<&str>,
    param: Option<&str>,
    message: &str,
    extra: &Map<String, Value>,
) -> Vec<u8> {
    let kind = if kind.is_empty() {
        kind_of(status)
    } else {
        kind
    };
    let envelope = Envelope {
        error: Inner {
            message,
            kind,
            param,
            code,
            extra,
        },
    };
    // Strings and maps always serialize; an empty body would still be an error to the client.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

impl ErrorBody {
    /// The error as a body.
    pub fn to_vec(&self) -> Vec<u8> {
        error_body(
            self.status,
            &self.kind,
            self.code.as_deref(),
            self.param.as_deref(),
            &self.message,
            &self.extra,
        )
    }
}

/// OpenAI's `type` for a status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        429 => "rate_limit_error",
        400..=499 => INVALID_REQUEST,
        503 => "service_unavailable_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_has_openais_four_members_and_the_extra_ones() {
        let mut extra = Map::new();
        extra.insert("request_id".to_owned(), "r-1".into());
        let body = error_body(429, "", Some("throttled"), None, "slow \"down\"", &extra);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,"code":"throttled","request_id":"r-1"}}"#
        );
    }

    #[test]
    fn refused_field_is_named_in_message_and_param() {
        let error = RequestError::unsupported("n", "only one choice a request");
        let body: Value = serde_json::from_slice(&error.body()).unwrap();
        assert_eq!(body["error"]["param"], "n");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["message"], "n: only one choice a request");
    }
}
