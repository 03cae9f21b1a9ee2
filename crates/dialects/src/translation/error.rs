//! Errors of translating requests, responses and streams.

use bedrock::converse::TokenUsage;

/// A request that cannot be translated; a 400 that names the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RequestError {
    /// Path of the field, such as `messages[2].content[0].image_url.url`.
    pub param: Option<String>,
    /// The problem and how to fix it.
    pub message: String,
    /// A stable code, such as `unsupported_parameter`.
    pub code: &'static str,
}

impl RequestError {
    /// An invalid value.
    pub fn invalid(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(param, message, "invalid_value")
    }

    /// A missing field.
    pub fn missing(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(param, message, "missing_required_parameter")
    }

    /// A feature that Bedrock or the model does not support.
    pub fn unsupported(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(param, message, "unsupported_parameter")
    }

    pub(crate) fn not_json(error: &serde_json::Error) -> Self {
        Self {
            param: None,
            message: format!("the body is not a valid request: {error}"),
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
}

/// A response of Bedrock that cannot be returned to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct UpstreamError {
    /// HTTP status for the client: 502, or 400 if a filter blocked the request.
    pub status: u16,
    /// Bedrock's stop reason, such as `malformed_model_output`.
    pub code: String,
    /// The problem.
    pub message: String,
    /// Tokens used.
    pub usage: Box<TokenUsage>,
}

/// An event that is invalid at its position in a stream; the stream has to end with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Arguments for a tool call whose block never started.
    #[error("bedrock sent arguments for block {0}, which is not an open tool call")]
    NoSuchCall(u64),
}
