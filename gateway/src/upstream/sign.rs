//! Builds and signs the HTTP request of a call, again for each attempt.
//!
//! Only the prepared request for Bedrock reaches this module, never headers of the client.

use std::time::SystemTime;

use bedrock::sigv4;
use credentials::ActiveCredentials;
use http::{HeaderMap, HeaderValue, Method, Request, header};

use super::{operation::Operation, target::Target};
use crate::http::{
    error::{GatewayError, Result, causes},
    payload::Payload,
};

const USER_AGENT: &str = concat!("bedrock-gateway/", env!("CARGO_PKG_VERSION"));

/// The signed request.
///
/// # Errors
/// When the endpoint is not a URL, or the credentials are not valid in headers.
pub(crate) fn request(
    target: &Target,
    operation: Operation,
    extra: &HeaderMap,
    body: &Payload,
    credentials: &ActiveCredentials,
    now: SystemTime,
) -> Result<Request<Payload>> {
    let mut request = Request::new(body.clone());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.url(operation)?;
    let headers = request.headers_mut();
    headers.clone_from(extra);
    headers
        .entry(header::CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/json"));
    headers
        .entry(header::ACCEPT)
        .or_insert_with(|| operation.framing().accept());
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let (mut parts, content) = request.into_parts();
    let scope = (target.region.as_str(), operation.service().signing_name());
    authorize(&mut parts, body, credentials, scope, now)?;
    Ok(Request::from_parts(parts, content))
}

/// Adds the signature for a region and service, or the Bedrock API key.
///
/// # Errors
/// When the credentials are not valid in headers.
pub(super) fn authorize(
    parts: &mut http::request::Parts,
    body: &Payload,
    credentials: &ActiveCredentials,
    (region, service): (&str, &'static str),
    now: SystemTime,
) -> Result<()> {
    if let Some(bearer) = credentials.bearer() {
        let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.token()))
            .map_err(|_| GatewayError::Internal("the Bedrock API key is not a header value"))?;
        value.set_sensitive(true);
        parts.headers.insert(header::AUTHORIZATION, value);
    } else {
        sigv4::sign(
            parts,
            body.pieces(),
            credentials.identity(),
            region,
            service,
            now,
        )
        .map_err(|error| {
            tracing::error!(error = causes(&error), "failed to sign a request");
            GatewayError::Internal("failed to sign the request")
        })?;
    }
    Ok(())
}
