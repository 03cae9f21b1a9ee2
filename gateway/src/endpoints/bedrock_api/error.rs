//! Errors in AWS's format: a name in `x-amzn-ErrorType` and a message in the body, which all SDKs read.
//!
//! AWS's errors are forwarded unchanged, except errors about the gateway's own credentials or clock: an SDK would
//! take them for its own and adjust its clock. The client gets a 503 with the cause instead.

use axum::{body::Body, response::Response};
use bedrock::Class;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::headers::for_client;
use crate::http::{
    error::{GatewayError, Refusal, with_hint},
    response::AWS_REQUEST_ID,
};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// The fix, if known; an error that AWS wrote keeps its bytes.
const HINT: HeaderName = HeaderName::from_static("x-bedrock-gateway-hint");

/// An error for a client of Bedrock's API.
pub(super) fn response(error: &GatewayError, request_id: &str) -> Response {
    let mut response = match error {
        GatewayError::Service(refusal) => aws_error(refusal, request_id, error.hint().as_deref()),
        GatewayError::Unauthenticated { message, .. } => {
            let text = format!("{message}; AWS SDKs send AWS_BEARER_TOKEN_BEDROCK that way");
            own(error.status(), name(error), &text, request_id)
        }
        _ => own(
            error.status(),
            name(error),
            &error.client_message(),
            request_id,
        ),
    };
    let headers = response.headers_mut();
    if let Some(hint) = error
        .hint()
        .and_then(|hint| HeaderValue::try_from(hint.as_ref()).ok())
    {
        headers.insert(HINT, hint);
    }
    error.set_headers(headers);
    response
}

fn aws_error(refusal: &Refusal, request_id: &str, hint: Option<&str>) -> Response {
    let error = &refusal.error;
    if is_about_the_gateway(refusal) {
        let text = format!("AWS rejected the gateway's own credentials: {error}");
        return own(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
            &text,
            request_id,
        );
    }
    let Some(original) = &refusal.original else {
        // An exception instead of the first event of a stream.
        let status =
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let id = error.request_id.as_deref().unwrap_or(request_id);
        return own(status, &error.name, &with_hint(&error.message, hint), id);
    };
    let mut response = Response::new(Body::from(original.body.clone()));
    *response.status_mut() = original.status;
    *response.headers_mut() = for_client(&original.headers);
    response
}

/// Whether AWS rejected the gateway's credentials rather than the request.
pub(super) fn is_about_the_gateway(refusal: &Refusal) -> bool {
    matches!(
        refusal.error.class(),
        Class::Authentication | Class::ExpiredCredentials | Class::ClockSkew
    )
}

fn own(status: StatusCode, name: &str, message: &str, request_id: &str) -> Response {
    let body = json!({ "message": message }).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/json");
    headers.insert(header::CONTENT_TYPE, json);
    for (header, text) in [(ERROR_TYPE, name), (AWS_REQUEST_ID, request_id)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(header, value);
        }
    }
    response
}

/// AWS's name for an error of the gateway.
fn name(error: &GatewayError) -> &'static str {
    match (error, error.status().as_u16()) {
        (GatewayError::UnknownPath { .. }, _) | (_, 405) => "UnknownOperationException",
        (_, 401) => "UnrecognizedClientException",
        (_, 403) => "AccessDeniedException",
        (_, 404) => "ResourceNotFoundException",
        (_, 408) => "RequestTimeoutException",
        (_, 413) => "RequestEntityTooLargeException",
        (_, 429) => "ThrottlingException",
        (_, 400..=499) => "ValidationException",
        (_, 500) => "InternalServerException",
        _ => "ServiceUnavailableException",
    }
}
