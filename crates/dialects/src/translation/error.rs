//! Why a request cannot be translated, or an answer not given to the client.

use bedrock::converse::TokenUsage;

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

/// An event that is invalid at its position in a stream; the stream has to end with an error.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// Arguments for a tool call whose block never started.
    #[error("bedrock sent arguments for block {0}, which is no open tool call")]
    NoSuchCall(u64),
}
