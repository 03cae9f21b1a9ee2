//! Makes the HTTP request of a call and signs it, anew for each try.
//!
//! Nothing of the client's request gets here but its translated body.

use std::time::SystemTime;

use bedrock::sigv4;
use bytes::Bytes;
use credentials::Lease;
use http::{HeaderValue, Method, Request, header};
use http_body_util::Full;

use super::Operation;
use crate::{error::GatewayError, route::Target};

const SERVICE: &str = "bedrock";
const USER_AGENT: &str = concat!("bedrock-gateway/", env!("CARGO_PKG_VERSION"));

/// The signed request.
///
/// # Errors
/// When the endpoint is no URL, or the credentials do not fit into headers.
pub(crate) fn request(
    target: &Target,
    operation: Operation,
    body: &Bytes,
    lease: &Lease,
    now: SystemTime,
) -> Result<Request<Full<Bytes>>, GatewayError> {
    let mut request = Request::new(Full::new(body.clone()));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.url(operation.path())?;
    let headers = request.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::ACCEPT, HeaderValue::from_static(operation.accept()));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    let (mut parts, content) = request.into_parts();
    if let Some(bearer) = lease.bearer() {
        let mut value = HeaderValue::try_from(format!("Bearer {}", bearer.token()))
            .map_err(|_| GatewayError::Internal("the Bedrock API key is not a header value"))?;
        value.set_sensitive(true);
        parts.headers.insert(header::AUTHORIZATION, value);
    } else {
        let region = target.region.as_str();
        sigv4::sign(&mut parts, body, lease.identity(), region, SERVICE, now).map_err(|error| {
            tracing::error!(error = crate::error::causes(&error), "unable to sign");
            GatewayError::Internal("the request could not be signed")
        })?;
    }
    Ok(Request::from_parts(parts, content))
}
