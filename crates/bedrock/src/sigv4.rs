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

use std::{cell::RefCell, time::SystemTime};

use aws_credential_types::Credentials;
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
/// Usual length of the names of signed headers.
const USUAL_NAMES: usize = 128;
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
/// `x-amz-security-token`. `body`: in pieces. Call it again after changing the request.
///
/// # Errors
/// When the URI has no host, a header is not visible ASCII, or `identity` has no AWS credentials.
pub fn sign<'b>(
    request: &mut Parts,
    body: impl Iterator<Item = &'b [u8]>,
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
    let session = keys::session(identity, credentials, time, region, service)?;
    if let Some(token) = &session.token {
        request.headers.insert(TOKEN, token.clone());
    }

    let mut headers: Vec<(&HeaderName, &HeaderValue)> = request
        .headers
        .iter()
        .filter(|(name, _)| !NOT_SIGNED.contains(name))
        .collect();
    // Stable: the values of a header stay in their order.
    headers.sort_by_key(|(name, _)| name.as_str());
    let path = canonical::normalized(request.uri.path());
    let mut canonical = Canonical::new(request.method.as_str(), &path, request.uri.query());
    let mut signed_headers = String::with_capacity(USUAL_NAMES);
    for values in headers.chunk_by(|(one, _), (next, _)| one == next) {
        let Some((name, _)) = values.first() else {
            continue;
        };
        if !signed_headers.is_empty() {
            signed_headers.push(';');
        }
        signed_headers.push_str(name.as_str());
        canonical
            .header(name.as_str(), values.iter().map(|(_, value)| *value))
            .ok_or_else(|| SignError::HeaderNotText((*name).clone()))?;
    }
    let canonical = canonical.finish(&signed_headers, HexHash::of_pieces(body).as_str());

    let text = string_to_sign(&timestamp, &session.scope, &canonical);
    let signature = session.signature(&text);
    let authorization = [
        ALGORITHM,
        " Credential=",
        credentials.access_key_id(),
        "/",
        &session.scope,
        ", SignedHeaders=",
        &signed_headers,
        ", Signature=",
        signature.as_str(),
    ]
    .concat();
    set(request, AUTHORIZATION, &authorization, true)
}

fn string_to_sign(timestamp: &str, scope: &str, canonical: &str) -> String {
    let hash = HexHash::of(canonical.as_bytes());
    [ALGORITHM, timestamp, scope, hash.as_str()].join("\n")
}

/// A SHA-256 hash in hexadecimal digits.
struct HexHash([u8; 64]);

impl HexHash {
    fn of(bytes: &[u8]) -> Self {
        Self::digits(&Sha256::digest(bytes))
    }

    fn of_pieces<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Self {
        let mut hash = Sha256::new();
        pieces.for_each(|piece| hash.update(piece));
        Self::digits(&hash.finalize())
    }

    fn digits(hash: &[u8]) -> Self {
        let mut digits = [b'0'; 64];
        // Two digits for each of the 32 bytes.
        let _ = hex::encode_to_slice(hash, &mut digits);
        Self(digits)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

thread_local! {
    /// The last second that the thread formatted.
    static LAST: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
}

/// A time such as `20260102T030405Z`.
fn timestamp(time: SystemTime) -> String {
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    LAST.with_borrow_mut(|(last, text)| {
        if *last != seconds || text.is_empty() {
            *last = seconds;
            *text = formatted(seconds);
        }
        text.clone()
    })
}

fn formatted(seconds: u64) -> String {
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
    let text = match authority.port() {
        Some(port) if Some(port.as_u16()) != implied => {
            &[authority.host(), ":", port.as_str()].concat()
        }
        _ => authority.host(),
    };
    HeaderValue::from_str(text).map_err(|_| SignError::NoHost)
}

#[cfg(test)]
mod tests;
