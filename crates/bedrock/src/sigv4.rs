//! AWS Signature Version 4 over the raw bytes of a request, in headers.
//!
//! The path is signed as it is sent, that is, encoded a second time for the canonical request
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
//! `aws-sigv4` derives the signing key, once for a session and a day; the canonical request is built here, because the
//! crate took a tenth of the CPU time of a small request (ADR-0028). Tests compare both.
//! The time is an argument. Every retry is signed again.

mod canonical;
mod keys;
mod verify;

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::sign::v4::calculate_signature;
use aws_smithy_runtime_api::client::identity::Identity;
use aws_smithy_types::{DateTime, date_time::Format};
use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, HOST, TRANSFER_ENCODING, USER_AGENT},
    request::Parts,
    uri::Scheme,
};
use sha2::{Digest, Sha256};

use canonical::Canonical;

pub use verify::{Claim, VerifiedHead, VerifyError};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const DATE: HeaderName = HeaderName::from_static("x-amz-date");
const TOKEN: HeaderName = HeaderName::from_static("x-amz-security-token");
/// Headers that signing sets; existing values are removed first.
const SET_BY_SIGNING: [HeaderName; 4] = [
    AUTHORIZATION,
    DATE,
    TOKEN,
    HeaderName::from_static("x-amz-content-sha256"),
];
/// Headers that proxies change, which AWS's SDKs do not sign either.
const NOT_SIGNED: [HeaderName; 3] = [
    USER_AGENT,
    TRANSFER_ENCODING,
    HeaderName::from_static("x-amzn-trace-id"),
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
    #[error("the identity has no access key to sign the request with")]
    NoKeys,
    /// A header with the signature has an invalid value.
    #[error("signed header {0} has an invalid value")]
    HeaderValue(HeaderName),
}

/// Signs `request` with its headers, and sets `host`, `x-amz-date`, `authorization` and, for temporary credentials,
/// `x-amz-security-token`. Call it again after changing the request.
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
    let credentials: &Credentials = identity.data().ok_or(SignError::NoKeys)?;
    for name in &SET_BY_SIGNING {
        request.headers.remove(name);
    }
    let host = host(request)?;
    request.headers.insert(HOST, host);
    let timestamp = timestamp(time);
    set(request, DATE, &timestamp, false)?;
    if let Some(token) = credentials.session_token() {
        set(request, TOKEN, token, true)?;
    }

    let mut names: Vec<&HeaderName> = request.headers.keys().collect();
    names.retain(|name| !NOT_SIGNED.contains(name));
    names.sort_unstable_by_key(|name| name.as_str());
    let signed_headers = names
        .iter()
        .map(|name| name.as_str())
        .collect::<Vec<_>>()
        .join(";");
    let path = canonical::normalized(request.uri.path());
    let mut canonical = Canonical::new(request.method.as_str(), &path, request.uri.query());
    for name in names {
        canonical
            .header(name.as_str(), request.headers.get_all(name))
            .ok_or_else(|| SignError::HeaderNotText(name.clone()))?;
    }
    let canonical = canonical.finish(&signed_headers, &hex::encode(Sha256::digest(body)));

    let date = timestamp.get(..8).unwrap_or_default();
    let scope = format!("{date}/{region}/{service}/aws4_request");
    let text = string_to_sign(&timestamp, &scope, &canonical);
    let key = keys::signing_key(identity, credentials, time, region, service);
    let signature = calculate_signature(key, text.as_bytes());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{scope}, SignedHeaders={signed_headers}, Signature={signature}",
        credentials.access_key_id()
    );
    set(request, AUTHORIZATION, &authorization, true)
}

fn string_to_sign(timestamp: &str, scope: &str, canonical: &str) -> String {
    let hash = hex::encode(Sha256::digest(canonical));
    [ALGORITHM, timestamp, scope, &hash].join("\n")
}

/// A time such as `20260102T030405Z`.
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let time = DateTime::from_secs(i64::try_from(seconds).unwrap_or_default());
    // Only years after 9999 have no such form.
    let mut text = time.fmt(Format::DateTime).unwrap_or_default();
    text.retain(|character| !matches!(character, '-' | ':'));
    text
}

fn set(
    request: &mut Parts,
    name: HeaderName,
    value: &str,
    is_sensitive: bool,
) -> Result<(), SignError> {
    let mut value =
        HeaderValue::from_str(value).map_err(|_| SignError::HeaderValue(name.clone()))?;
    value.set_sensitive(is_sensitive);
    request.headers.insert(name, value);
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
