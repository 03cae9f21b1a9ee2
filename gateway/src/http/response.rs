//! Parts of responses that all dialects share.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::{dialect::Dialect, error::GatewayError};

/// Usual number of headers of a response: those of a rate limit, of this gateway and of AWS.
const USUAL_HEADERS: usize = 16;
/// AWS's id of a request.
pub(crate) const AWS_REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// One header for each part of a request that was dropped or changed.
const WARNING: HeaderName = HeaderName::from_static("x-bedrock-gateway-warning");
/// Header in which Anthropic's clients read the request id.
const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// Header with which a client asks how its request relates to the earlier one of its conversation.
const CACHE_REPORT_REQUEST: HeaderName = HeaderName::from_static("x-bedrock-gateway-cache-report");
/// Header with the relation.
const CACHE_REPORT: HeaderName = HeaderName::from_static("x-bedrock-gateway-cache");

/// Header with which a client asks for the cost of its request.
const COST_REQUEST: HeaderName = HeaderName::from_static("x-bedrock-gateway-cost-report");
/// Header with the cost in US dollars, or `unknown`.
const COST: HeaderName = HeaderName::from_static("x-bedrock-gateway-cost-usd");

/// Whether a client asks for [`add_cache_report`].
pub(crate) fn wants_cache_report(headers: &HeaderMap) -> bool {
    headers.contains_key(CACHE_REPORT_REQUEST)
}

/// Adds how the request relates to the earlier one of its conversation.
pub(crate) fn add_cache_report(headers: &mut HeaderMap, report: Option<&str>) {
    if let Some(value) = report.and_then(|report| HeaderValue::try_from(report).ok()) {
        headers.insert(CACHE_REPORT, value);
    }
}

/// Whether a client asks for [`add_cost`].
pub(crate) fn wants_cost(headers: &HeaderMap) -> bool {
    headers.contains_key(COST_REQUEST)
}

/// Adds the cost of the request in dollars.
pub(crate) fn add_cost(headers: &mut HeaderMap, dollars: &str) {
    if let Ok(value) = HeaderValue::try_from(dollars) {
        headers.insert(COST, value);
    }
}

/// A JSON response. `upstream` has the headers of Bedrock's response, empty after several calls.
pub(crate) fn json(body: impl Into<Body>, upstream: &HeaderMap, warnings: &[String]) -> Response {
    let mut response = Response::new(body.into());
    let headers = response.headers_mut();
    headers.reserve(USUAL_HEADERS);
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    copy_request_id(upstream, headers);
    add_warnings(headers, warnings);
    response
}

/// An error in the OpenAI or Anthropic dialect.
pub(crate) fn error(error: &GatewayError, dialect: Dialect, request_id: &str) -> Response {
    match dialect {
        Dialect::Anthropic => error.anthropic_response(request_id),
        Dialect::OpenAi | Dialect::Bedrock => error.response(request_id),
    }
}

/// Adds the request id in the header that Anthropic's clients read; other dialects have no such header.
pub(crate) fn with_request_id(
    mut response: Response,
    dialect: Dialect,
    request_id: &str,
) -> Response {
    if dialect == Dialect::Anthropic
        && let Ok(value) = HeaderValue::try_from(request_id)
    {
        response.headers_mut().insert(ANTHROPIC_REQUEST_ID, value);
    }
    response
}

/// Copies AWS's id of the request, which AWS Support asks for.
pub(crate) fn copy_request_id(from: &HeaderMap, to: &mut HeaderMap) {
    if let Some(id) = from.get(&AWS_REQUEST_ID) {
        to.insert(AWS_REQUEST_ID, id.clone());
    }
}

pub(crate) fn add_warnings(headers: &mut HeaderMap, warnings: &[String]) {
    for warning in warnings {
        if let Ok(value) = HeaderValue::try_from(warning.as_str()) {
            headers.append(WARNING, value);
        }
    }
}
