//! Errors as AWS's services answer them: a name, a status and a message, written as REST-JSON, query XML or
//! plain JSON by `reply.rs`.

/// An error reply of a simulated service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct AwsError {
    /// HTTP status.
    pub status: u16,
    /// For example `ThrottlingException`.
    pub code: String,
    /// AWS's text.
    pub message: String,
    /// How the body looks.
    pub body: ErrorBody,
}

/// Variants of error bodies seen from AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ErrorBody {
    /// `{"message": …}`.
    #[default]
    Message,
    /// `{"Message": …}`, as the front end writes it for some refusals.
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

    /// An error whose status follows from its name.
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

/// The status that AWS's service models give an exception of Bedrock Runtime.
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

/// AWS's usual text for an exception, for scripts that give none.
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
