//! Writes errors in the service's format: REST-JSON, query XML, plain JSON, and the error formats of OpenAI and
//! Anthropic for Bedrock's OpenAI and Anthropic endpoints.
//!
//! The OpenAI and Anthropic errors for unknown models, wrong APIs, validation and authentication come from user
//! reports; the types and codes for other exceptions come from OpenAI's and Anthropic's references.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::encoding::xml_text;
use crate::error::{AwsError, ErrorBody};
use crate::record::Call;

/// The error format of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    RestJson,
    QueryXml(&'static str),
    PlainJson,
    OpenAi,
    Anthropic,
}

impl Shape {
    /// The error format of a call's service and operation.
    pub(crate) fn of(call: &Call) -> Self {
        match (call.service.as_str(), call.operation.as_str()) {
            ("sts", _) => Self::QueryXml("https://sts.amazonaws.com/doc/2011-06-15/"),
            ("iam", _) => Self::QueryXml("https://iam.amazonaws.com/doc/2010-05-08/"),
            (_, "CreateMessage") => Self::Anthropic,
            (_, "ChatCompletions" | "CreateResponse" | "ListModels") => Self::OpenAi,
            ("bedrock-runtime" | "bedrock" | "unknown", _) => Self::RestJson,
            _ => Self::PlainJson,
        }
    }
}

/// OpenAI's error type and code for an exception.
pub(crate) fn openai_names(code: &str) -> (&'static str, &'static str) {
    match code {
        "ModelNotFoundException" => ("not_found_error", "model_not_found"),
        "InvalidEncryptedContent" => ("invalid_request_error", "invalid_encrypted_content"),
        "PreviousResponseNotFound" => ("invalid_request_error", "previous_response_not_found"),
        "AccessDeniedException" => ("permission_denied_error", "access_denied"),
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException" => ("authentication_error", "invalid_api_key"),
        "ResourceNotFoundException" => ("not_found_error", "not_found"),
        "ThrottlingException" => ("rate_limit_error", "rate_limit_exceeded"),
        "ServiceQuotaExceededException" => ("rate_limit_error", "insufficient_quota"),
        "ModelNotReadyException" => ("rate_limit_error", "model_not_ready"),
        "ModelTimeoutException" => ("timeout_error", "request_timeout"),
        "RequestEntityTooLargeException" => ("invalid_request_error", "request_too_large"),
        "InternalServerException" | "InternalFailure" => ("server_error", "internal_server_error"),
        "ServiceUnavailableException" | "ServiceUnavailable" => {
            ("server_error", "service_unavailable")
        }
        "ModelErrorException" | "ModelStreamErrorException" => ("server_error", "model_error"),
        _ => ("invalid_request_error", "validation_error"),
    }
}

/// Anthropic's error type for an exception.
pub(crate) fn anthropic_type(code: &str) -> &'static str {
    match code {
        "AccessDeniedException" => "permission_error",
        "UnrecognizedClientException"
        | "ExpiredTokenException"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException" => "authentication_error",
        "ModelNotFoundException" | "ResourceNotFoundException" => "not_found_error",
        "RequestEntityTooLargeException" => "request_too_large",
        "ThrottlingException" | "ServiceQuotaExceededException" | "ModelNotReadyException" => {
            "rate_limit_error"
        }
        "ModelTimeoutException" => "timeout_error",
        "ServiceUnavailableException" | "ServiceUnavailable" => "overloaded_error",
        "InternalServerException"
        | "InternalFailure"
        | "ModelErrorException"
        | "ModelStreamErrorException" => "api_error",
        _ => "invalid_request_error",
    }
}

/// The error format of the OpenAI endpoints.
pub(crate) fn openai_error(code: &str, message: &str) -> Value {
    let (kind, code) = openai_names(code);
    json!({ "error": { "code": code, "message": message, "param": null, "type": kind } })
}

/// The error format of the Anthropic endpoint.
pub(crate) fn anthropic_error(code: &str, message: &str) -> Value {
    json!({ "type": "error", "error": { "type": anthropic_type(code), "message": message } })
}

pub(crate) fn render(error: &AwsError, shape: Shape, request_id: &str) -> Response {
    let empty = error.body == ErrorBody::Empty;
    let (content_type, body) = match shape {
        Shape::QueryXml(xmlns) => ("text/xml", xml(error, xmlns, request_id)),
        Shape::PlainJson => (
            "application/json",
            json!({ "code": error.code, "message": error.message }).to_string(),
        ),
        _ => {
            let body = match (shape, error.body) {
                (_, ErrorBody::Empty) => json!({}),
                (Shape::OpenAi, _) => openai_error(&error.code, &error.message),
                (Shape::Anthropic, _) => anthropic_error(&error.code, &error.message),
                (_, ErrorBody::CapitalMessage) => json!({ "Message": error.message }),
                _ => json!({ "message": error.message }),
            };
            ("application/json", body.to_string())
        }
    };
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status(error, shape);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if shape == Shape::RestJson || empty {
        // As at AWS, the service adds a namespace to the type, its front end does not.
        let kind = if error.status == 403 || empty {
            error.code.clone()
        } else {
            format!(
                "{}:http://internal.amazon.com/coral/com.amazon.bedrock/",
                error.code
            )
        };
        if let Ok(kind) = HeaderValue::from_str(&kind) {
            headers.insert("x-amzn-errortype", kind);
        }
        if empty && let Ok(message) = HeaderValue::from_str(&error.message) {
            headers.insert("x-amzn-errormessage", message);
        }
    }
    response
}

/// The OpenAI endpoints return 401 for AWS's 403; the Anthropic endpoint returns 401 for authentication errors only.
fn status(error: &AwsError, shape: Shape) -> StatusCode {
    let unauthenticated = anthropic_type(&error.code) == "authentication_error";
    let status = match shape {
        Shape::OpenAi if error.status == 403 => 401,
        Shape::Anthropic if unauthenticated => 401,
        _ => error.status,
    };
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn xml(error: &AwsError, xmlns: &str, request_id: &str) -> String {
    let kind = if error.status >= 500 {
        "Receiver"
    } else {
        "Sender"
    };
    format!(
        "<ErrorResponse xmlns=\"{xmlns}\">\n  <Error>\n    <Type>{kind}</Type>\n    <Code>{}</Code>\n    <Message>{}</Message>\n  </Error>\n  <RequestId>{request_id}</RequestId>\n</ErrorResponse>\n",
        xml_text(&error.code),
        xml_text(&error.message)
    )
}
