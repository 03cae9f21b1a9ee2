//! Errors in AWS's own shape: a name in `x-amzn-ErrorType` and a text in the body, as every SDK reads them.
//!
//! What AWS said goes on as AWS said it. One thing does not: that the gateway's own credentials or clock are
//! refused. An SDK would take that for its own, and set its clock by it; to the client the service is
//! unavailable, and the text says why.

use axum::{body::Body, response::Response};
use bedrock::Class;
use http::{HeaderName, HeaderValue, StatusCode, header};
use serde_json::json;

use super::headers::for_client;
use crate::http::error::{GatewayError, Refusal};

const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// What to do about it, where the gateway knows; AWS's text stays as it is.
const HINT: HeaderName = HeaderName::from_static("x-bedrock-gateway-hint");

/// An error for a client that speaks Bedrock's own language.
pub(super) fn response(error: &GatewayError, request_id: &str) -> Response {
    let mut response = match error {
        GatewayError::Service(refusal) => of_aws(refusal, request_id),
        GatewayError::Unauthenticated { message, .. } => {
            let text = format!("{message}; AWS SDKs send AWS_BEARER_TOKEN_BEDROCK that way");
            own(error.status(), name(error), &text, request_id)
        }
        _ => own(error.status(), name(error), &error.to_string(), request_id),
    };
    let headers = response.headers_mut();
    if let Some(hint) = error
        .hint()
        .and_then(|hint| HeaderValue::try_from(hint.as_ref()).ok())
    {
        headers.insert(HINT, hint);
    }
    match error {
        GatewayError::Busy { .. } | GatewayError::ShuttingDown => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        GatewayError::OverLimit(limit) => {
            headers.insert(header::RETRY_AFTER, limit.retry_after_seconds().into());
        }
        GatewayError::WrongMethod { allowed, .. } => {
            headers.insert(header::ALLOW, HeaderValue::from_static(allowed));
        }
        // What is left of the body is not read.
        GatewayError::BodyTooLarge { .. } | GatewayError::BodyUnreadable(_) => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

fn of_aws(refusal: &Refusal, request_id: &str) -> Response {
    let error = &refusal.error;
    if is_about_the_gateway(refusal) {
        let text = format!("the gateway's own AWS credentials were refused: {error}");
        return own(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailableException",
            &text,
            request_id,
        );
    }
    let Some(original) = &refusal.original else {
        // An exception in place of a stream's first event.
        let status =
            StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let id = error.request_id.as_deref().unwrap_or(request_id);
        return own(status, &error.name, &error.message, id);
    };
    let mut response = Response::new(Body::from(original.body.clone()));
    *response.status_mut() = original.status;
    *response.headers_mut() = for_client(&original.headers);
    response
}

/// Whether AWS refused the gateway itself rather than what was asked for.
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
    for (header, text) in [(ERROR_TYPE, name), (REQUEST_ID, request_id)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(header, value);
        }
    }
    response
}

/// AWS's name for an error of the gateway's own.
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
