//! Errors of the simulated services: code, status and message. `render.rs` writes them in the service's format.

/// An error response of a simulated service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// HTTP status.
    pub status: u16,
    /// Error code, for example `ThrottlingException`.
    pub code: String,
    /// AWS's error message.
    pub message: String,
    /// Format of the body.
    pub body: ErrorBody,
}

/// Formats of AWS's error bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorBody {
    /// `{"message": …}`.
    #[default]
    Message,
    /// `{"Message": …}`, used by AWS's front end for some errors.
    CapitalMessage,
    /// `{}`; type and message are only in the headers.
    Empty,
}

impl AwsError {
    /// An error with its status.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            body: ErrorBody::Message,
        }
    }

    /// An error with the status of its code.
    pub fn named(code: &str, message: impl Into<String>) -> Self {
        Self::new(status_of(code), code, message)
    }

    /// 400 `ValidationException`.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::named("ValidationException", message)
    }

    /// 403 `AccessDeniedException`.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::named("AccessDeniedException", message)
    }

    pub(crate) fn with_body(mut self, body: ErrorBody) -> Self {
        self.body = body;
        self
    }
}

/// The status of a Bedrock Runtime exception in AWS's service model.
pub(crate) fn status_of(code: &str) -> u16 {
    match code {
        "AccessDeniedException"
        | "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException" => 403,
        "ResourceNotFoundException" | "UnknownOperationException" => 404,
        "ModelTimeoutException" => 408,
        "ConflictException" => 409,
        "RequestEntityTooLargeException" => 413,
        "ModelErrorException" | "ModelStreamErrorException" => 424,
        "ThrottlingException" | "ModelNotReadyException" => 429,
        "InternalServerException" | "InternalFailure" => 500,
        "ServiceUnavailableException" | "ServiceUnavailable" => 503,
        _ => 400,
    }
}

/// AWS's usual message for an exception, the default for scripts and faults.
pub(crate) fn usual_message(code: &str) -> &'static str {
    match code {
        "ThrottlingException" => "Too many requests, please wait before trying again.",
        "ServiceUnavailableException" => "Bedrock is unable to process your request.",
        "InternalServerException" => {
            "The system encountered an unexpected error during processing. Try your request again."
        }
        "ModelTimeoutException" => {
            "The request took too long to process. Processing time exceeded the model timeout length."
        }
        "ModelNotReadyException" => "Model is not ready for inference.",
        "ModelErrorException" | "ModelStreamErrorException" => {
            "The model returned the following errors: the response could not be processed."
        }
        "AccessDeniedException" => {
            "You don't have access to the model with the specified model ID."
        }
        "ResourceNotFoundException" => {
            "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model."
        }
        "ServiceQuotaExceededException" => {
            "Your request exceeds the service quota for your account."
        }
        "ExpiredTokenException" => "The security token included in the request is expired",
        "UnrecognizedClientException" => "The security token included in the request is invalid.",
        _ => "The request is not valid.",
    }
}
