//! Errors of AWS services, in every form in which AWS sends them.
//!
//! The three forms are: an HTTP status with `x-amzn-errortype` and a body `{"message"}`; the same with a body
//! `{}` and the message in `x-amzn-errormessage`; and an exception frame in a stream, with its name in camelCase.
//! The name takes precedence over the status. The gateway decides what a client receives.
//!
//! Names and statuses: <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html#API_runtime_Converse_Errors>
//! and <https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html>.

use http::{HeaderMap, StatusCode};
use serde_json::Value;

use crate::eventstream::Frame;

/// Maximum length of a message from a body that is not JSON, in characters.
const LONGEST_PLAIN_TEXT: usize = 300;

/// An error of an AWS service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}: {message}")]
pub struct ServiceError {
    /// The HTTP status of a known name, otherwise the received status.
    pub status: u16,
    /// The name, such as `ThrottlingException`.
    pub name: String,
    /// AWS's message; never empty.
    pub message: String,
    /// `x-amzn-requestid`.
    pub request_id: Option<String>,
}

/// How to handle an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request is invalid; the same request fails again.
    Validation,
    /// The credentials have expired; new credentials will work.
    ExpiredCredentials,
    /// The signature's time differs too much from the service's clock.
    ClockSkew,
    /// The credentials are invalid.
    Authentication,
    /// The credentials are valid but lack a permission.
    AccessDenied,
    /// The model, profile or guardrail does not exist.
    NotFound,
    /// A quota of the AWS account is exhausted.
    Quota,
    /// Too many requests or tokens.
    Throttled,
    /// The model is loading.
    NotReady,
    /// The model timed out.
    Timeout,
    /// The model failed.
    Model,
    /// The service is temporarily unavailable.
    Unavailable,
    /// An internal error of the service.
    Internal,
    /// Any other error.
    Other,
}

/// Name, status and class of an error.
const KNOWN: &[(&str, u16, Class)] = &[
    ("ValidationException", 400, Class::Validation),
    ("ServiceQuotaExceededException", 400, Class::Quota),
    ("ConflictException", 409, Class::Validation),
    ("AccessDeniedException", 403, Class::AccessDenied),
    ("AccessDenied", 403, Class::AccessDenied),
    ("OptInRequired", 403, Class::AccessDenied),
    ("NotAuthorized", 403, Class::AccessDenied),
    ("ExpiredTokenException", 403, Class::ExpiredCredentials),
    ("ExpiredToken", 403, Class::ExpiredCredentials),
    ("UnrecognizedClientException", 403, Class::Authentication),
    ("InvalidClientTokenId", 403, Class::Authentication),
    ("InvalidSignatureException", 403, Class::Authentication),
    ("SignatureDoesNotMatch", 403, Class::Authentication),
    ("IncompleteSignatureException", 403, Class::Authentication),
    ("IncompleteSignature", 403, Class::Authentication),
    (
        "MissingAuthenticationTokenException",
        403,
        Class::Authentication,
    ),
    ("MissingAuthenticationToken", 403, Class::Authentication),
    ("RequestExpired", 403, Class::ClockSkew),
    ("RequestTimeTooSkewed", 403, Class::ClockSkew),
    ("ResourceNotFoundException", 404, Class::NotFound),
    ("UnknownOperationException", 404, Class::NotFound),
    ("ModelTimeoutException", 408, Class::Timeout),
    ("RequestTimeoutException", 408, Class::Timeout),
    ("ModelErrorException", 424, Class::Model),
    ("ModelStreamErrorException", 424, Class::Model),
    ("ThrottlingException", 429, Class::Throttled),
    ("TooManyRequestsException", 429, Class::Throttled),
    ("RequestLimitExceeded", 429, Class::Throttled),
    ("ModelNotReadyException", 429, Class::NotReady),
    ("InternalServerException", 500, Class::Internal),
    ("InternalFailure", 500, Class::Internal),
    ("InternalServerError", 500, Class::Internal),
    ("ServiceUnavailableException", 503, Class::Unavailable),
    ("ServiceUnavailable", 503, Class::Unavailable),
];

impl ServiceError {
    /// An error response.
    pub fn from_http(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let header = |name: &str| {
            headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::trim)
                .filter(|text| !text.is_empty())
        };
        let document: Option<Value> = serde_json::from_slice(body).ok();
        let member = |names: &[&str]| {
            names.iter().find_map(|name| {
                let text = document.as_ref()?.get(name)?.as_str()?.trim();
                (!text.is_empty()).then(|| text.to_owned())
            })
        };
        let said = header("x-amzn-errortype")
            .map(bare_name)
            .or_else(|| member(&["__type", "code", "Code"]).map(|text| bare_name(&text)))
            .or_else(|| {
                let document = document.as_ref()?;
                let unauthorized = status == StatusCode::UNAUTHORIZED;
                unauthorized.then(|| unauthorized_name(document).to_owned())
            });
        // Only an explicit name may override the status.
        let received = status.as_u16();
        let status = said.as_deref().and_then(status_of).unwrap_or(received);
        let name = said.unwrap_or_else(|| name_of_status(received).to_owned());
        let message = member(&["message", "Message", "errorMessage"])
            .or_else(|| document.as_ref().and_then(json_message))
            .or_else(|| header("x-amzn-errormessage").map(ToOwned::to_owned))
            .or_else(|| plain_text(body).filter(|_| document.is_none()))
            .map_or_else(|| no_text(&name, status), without_signed_request);
        let request_id = header("x-amzn-requestid")
            .or_else(|| header("x-amz-request-id"))
            .map(ToOwned::to_owned);
        Self {
            status,
            name,
            message,
            request_id,
        }
    }

    /// An error in OpenAI's or Anthropic's envelope, as Bedrock's endpoints for these protocols send it in a
    /// stream; `None` if the document is not an error.
    pub fn from_json(document: &Value) -> Option<Self> {
        let message = json_message(document)?;
        let error = document.get("error")?;
        let word = |key: &str| error.get(key).and_then(Value::as_str);
        let name = word("type")
            .and_then(json_name)
            .or_else(|| word("code").and_then(json_name))
            .unwrap_or("InternalServerException");
        Some(Self {
            status: status_of(name).unwrap_or(500),
            name: name.to_owned(),
            message,
            request_id: None,
        })
    }

    /// An exception or error frame of a stream. The frame does not contain the request id: see
    /// [`Self::with_request_id`].
    pub fn from_frame(frame: &Frame) -> Self {
        let name = bare_name(&frame.event_type);
        let document: Option<Value> = serde_json::from_slice(&frame.payload).ok();
        let message = document
            .as_ref()
            .and_then(|document| {
                document
                    .get("message")
                    .or_else(|| document.get("Message"))
                    .and_then(Value::as_str)
            })
            .map(str::trim)
            .filter(|text| !text.is_empty())
            .map(ToOwned::to_owned)
            .or_else(|| plain_text(&frame.payload).filter(|_| document.is_none()))
            .unwrap_or_else(|| no_text(&name, status_of(&name).unwrap_or(500)));
        Self {
            status: status_of(&name).unwrap_or(500),
            name,
            message,
            request_id: None,
        }
    }

    /// Sets the request id of the response that contained the error.
    #[must_use]
    pub fn with_request_id(mut self, request_id: Option<String>) -> Self {
        self.request_id = request_id;
        self
    }

    /// Whether AWS does not know the session, such as after its role was deleted and created again.
    pub fn is_unknown_session(&self) -> bool {
        matches!(
            self.name.as_str(),
            "UnrecognizedClientException" | "InvalidClientTokenId"
        )
    }

    /// How to handle the error.
    pub fn class(&self) -> Class {
        let class = known(&self.name).map_or_else(
            || match self.status {
                429 => Class::Throttled,
                408 => Class::Timeout,
                500 => Class::Internal,
                502..=504 => Class::Unavailable,
                404 => Class::NotFound,
                401 | 403 => Class::AccessDenied,
                400..=499 => Class::Validation,
                _ => Class::Other,
            },
            |(_, _, class)| *class,
        );
        let says = |part: &str| self.message.contains(part);
        match class {
            // AWS reports expired sessions under several names.
            Class::Authentication | Class::AccessDenied
                if says("security token included in the request is expired") =>
            {
                Class::ExpiredCredentials
            }
            // "Signature expired: … is now earlier than …", "Signature not yet current: …".
            Class::Authentication
                if says("Signature expired") || says("Signature not yet current") =>
            {
                Class::ClockSkew
            }
            // Refusals of a Bedrock API key have the name of a missing permission.
            Class::AccessDenied
                if says("make sure your API Key is valid")
                    || says("Bearer Token has expired")
                    || says("security token included in the request is invalid") =>
            {
                Class::Authentication
            }
            class => class,
        }
    }
}

impl Class {
    /// Whether the same request to the same endpoint may succeed later.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Throttled | Self::NotReady | Self::Unavailable | Self::Internal
        )
    }

    /// Whether the same request may succeed in another region or with another model.
    pub fn is_local(self) -> bool {
        self.is_transient() || matches!(self, Self::Quota | Self::Timeout | Self::Model)
    }
}

fn known(name: &str) -> Option<&'static (&'static str, u16, Class)> {
    KNOWN.iter().find(|(known, _, _)| *known == name)
}

fn status_of(name: &str) -> Option<u16> {
    known(name).map(|(_, status, _)| *status)
}

/// `ns#throttlingException:http://…` becomes `ThrottlingException`.
fn bare_name(text: &str) -> String {
    let text = text.rsplit('#').next().unwrap_or(text);
    let text = text.split(':').next().unwrap_or(text).trim();
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => "UnknownError".to_owned(),
    }
}

/// Name of an error response without a name.
fn name_of_status(status: u16) -> &'static str {
    match status {
        400 => "ValidationException",
        403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        424 => "ModelErrorException",
        429 => "ThrottlingException",
        500 => "InternalServerException",
        502..=504 => "ServiceUnavailableException",
        _ => "UnknownError",
    }
}

/// Name of an error with status 401, which Bedrock's OpenAI endpoint sends without a name for every 403 of AWS: for
/// credentials, which the message distinguishes, and for permissions.
fn unauthorized_name(document: &Value) -> &'static str {
    const MESSAGES: [(&str, &str); 6] = [
        ("is not authorized to perform", "AccessDeniedException"),
        ("have access to the model", "AccessDeniedException"),
        (
            "security token included in the request is expired",
            "ExpiredTokenException",
        ),
        ("Signature expired", "InvalidSignatureException"),
        ("Signature not yet current", "InvalidSignatureException"),
        (
            "request signature we calculated",
            "InvalidSignatureException",
        ),
    ];
    let message = json_message(document).unwrap_or_default();
    let by_message = MESSAGES
        .iter()
        .find_map(|(part, name)| message.contains(part).then_some(*name));
    let kind = document
        .get("error")
        .and_then(|error| error.get("type"))
        .and_then(Value::as_str);
    by_message.unwrap_or(match kind {
        Some("permission_error") => "AccessDeniedException",
        _ => "UnrecognizedClientException",
    })
}

/// The message in `{"error": {"message": …}}`.
fn json_message(document: &Value) -> Option<String> {
    let text = document.get("error")?.get("message")?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// AWS's name for an error type of OpenAI or Anthropic.
fn json_name(word: &str) -> Option<&'static str> {
    Some(match word {
        "invalid_request_error" | "request_too_large" => "ValidationException",
        "authentication_error" | "invalid_api_key" => "UnrecognizedClientException",
        "permission_error" => "AccessDeniedException",
        "not_found_error" => "ResourceNotFoundException",
        "rate_limit_error" | "rate_limit_exceeded" | "tokens" | "requests" => "ThrottlingException",
        "insufficient_quota" => "ServiceQuotaExceededException",
        "timeout_error" => "ModelTimeoutException",
        "overloaded_error" | "overloaded" => "ServiceUnavailableException",
        "api_error" | "server_error" => "InternalServerException",
        _ => return None,
    })
}

fn no_text(name: &str, status: u16) -> String {
    format!("AWS returned {name} (HTTP status {status}) without a message")
}

/// The message without the canonical request, which AWS appends when a signature is wrong: it has the headers of the
/// request, and so the session token.
fn without_signed_request(message: String) -> String {
    match message.split_once("The Canonical String for this request") {
        Some((said, _)) => said.trim_end().to_owned(),
        None => message,
    }
}

fn plain_text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    (!text.is_empty()).then(|| text.chars().take(LONGEST_PLAIN_TEXT).collect())
}

#[cfg(test)]
mod tests;
