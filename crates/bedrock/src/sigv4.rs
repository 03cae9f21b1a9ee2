//! AWS Signature Version 4 over the raw bytes of a request, in headers.
//!
//! `aws-sigv4` implements the algorithm; this module configures it for Bedrock: the path is signed as it is sent,
//! that is, encoded a second time for the canonical request
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
//! The time is an argument. Every retry is signed again.

mod verify;

use std::time::SystemTime;

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningError, SigningSettings, sign as sign_v4},
    sign::v4,
};
use aws_smithy_runtime_api::client::identity::Identity;
use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, HOST},
    request::Parts,
    uri::Scheme,
};

pub use verify::{Claim, VerifiedHead, VerifyError};

/// Headers that signing sets; existing values are removed first.
const SET_BY_SIGNING: [HeaderName; 4] = [
    AUTHORIZATION,
    HeaderName::from_static("x-amz-date"),
    HeaderName::from_static("x-amz-security-token"),
    HeaderName::from_static("x-amz-content-sha256"),
];

/// Errors of signing.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The URI has no host.
    #[error("the URI of the request to sign has no host")]
    NoHost,
    /// A header's value is not visible ASCII.
    #[error("header {0} is not visible ASCII and cannot be signed")]
    HeaderNotText(HeaderName),
    /// The identity has no access key.
    #[error("failed to sign the request")]
    Signing(#[source] SigningError),
    /// A signing parameter is missing; a bug in this module.
    #[error("failed to build the signing parameters")]
    Parameters(#[source] v4::signing_params::BuildError),
    /// A header with the signature has an invalid value.
    #[error("signed header {0} has an invalid value")]
    HeaderValue(&'static str),
}

/// Signs `request` with all its headers, and sets `host`, `x-amz-date`, `authorization` and, for temporary
/// credentials, `x-amz-security-token`. Call it again after changing the request.
///
/// # Errors
/// When the URI has no host, a header is not visible ASCII, or `identity` has no AWS credentials.
pub fn sign(
    request: &mut Parts,
    body: &[u8],
    identity: &Identity,
    region: &str,
    service: &str,
    time: SystemTime,
) -> Result<(), SignError> {
    for name in &SET_BY_SIGNING {
        request.headers.remove(name);
    }
    let host = host(request)?;
    request.headers.insert(HOST, host);

    let params = v4::SigningParams::builder()
        .identity(identity)
        .region(region)
        .name(service)
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .map_err(SignError::Parameters)?
        .into();
    let headers = request
        .headers
        .iter()
        .map(|(name, value)| {
            value
                .to_str()
                .map(|value| (name.as_str(), value))
                .map_err(|_| SignError::HeaderNotText(name.clone()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let path = request
        .uri
        .path_and_query()
        .map_or("/", http::uri::PathAndQuery::as_str);
    let signable = SignableRequest::new(
        request.method.as_str(),
        path,
        headers.into_iter(),
        SignableBody::Bytes(body),
    )
    .map_err(SignError::Signing)?;
    let (instructions, _) = sign_v4(signable, &params)
        .map_err(SignError::Signing)?
        .into_parts();

    for header in instructions.into_parts().0 {
        let mut value = HeaderValue::from_str(header.value())
            .map_err(|_| SignError::HeaderValue(header.name()))?;
        value.set_sensitive(true);
        request
            .headers
            .insert(HeaderName::from_static(header.name()), value);
    }
    Ok(())
}

/// The authority without the default port of its scheme, as HTTP clients send it.
fn host(request: &Parts) -> Result<HeaderValue, SignError> {
    let authority = request.uri.authority().ok_or(SignError::NoHost)?;
    let implied = match request.uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => Some(443),
        Some(scheme) if *scheme == Scheme::HTTP => Some(80),
        _ => None,
    };
    let text = match authority.port_u16() {
        Some(port) if Some(port) != implied => format!("{}:{port}", authority.host()),
        _ => authority.host().to_owned(),
    };
    HeaderValue::from_str(&text).map_err(|_| SignError::NoHost)
}

#[cfg(test)]
mod tests;
