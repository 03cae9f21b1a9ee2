//! Verifies a client's signature with the client's secret.
//!
//! `aws-sigv4` derives the signing key; this module builds the canonical request from the received request and the
//! client's list of signed headers. It authenticates and does not authorize.
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>

use std::time::{Duration, SystemTime};

use aws_sigv4::sign::v4::{calculate_signature, generate_signing_key};
use aws_smithy_types::{DateTime, date_time::Format};
use http::{HeaderMap, Version, header, request::Parts};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{ALGORITHM, canonical::Canonical, string_to_sign};

/// The pseudo-header of HTTP/2 with host and port.
const AUTHORITY: &str = ":authority";
/// States the hash of the body.
const CONTENT_HASH: &str = "x-amz-content-sha256";
/// Maximum clock skew of a client, the same as AWS allows.
const LARGEST_SKEW: Duration = Duration::from_mins(5);

/// A parsed `Authorization` header of Signature Version 4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim<'a> {
    access_key_id: &'a str,
    date: &'a str,
    region: &'a str,
    service: &'a str,
    signed_headers: &'a str,
    signature: &'a str,
}

/// Proof that [`Claim::verify_head`] accepted a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedHead {
    is_proven: bool,
}

impl VerifiedHead {
    /// Whether the signature is verified, because the request states the hash of its body.
    pub fn is_proven(self) -> bool {
        self.is_proven
    }
}

/// Errors of verification.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// A required header is not signed.
    #[error("the signature does not cover the header {0}")]
    NotSigned(&'static str),
    /// The time is missing or invalid.
    #[error(
        "x-amz-date is missing, is not a time such as 20260102T030405Z, or does not match the date in the signature's scope"
    )]
    Time,
    /// The signature's time differs too much from the clock.
    #[error("the signature's time differs from the server's clock by {seconds} seconds")]
    Skew {
        /// The difference in seconds.
        seconds: u64,
    },
    /// The body does not match its hash.
    #[error("x-amz-content-sha256 is not the hash of the body")]
    Body,
    /// A signed header is missing or is not visible ASCII, or the list of signed headers is not sorted.
    #[error("a signed header is missing or is not visible ASCII, or SignedHeaders is not sorted")]
    Header,
    /// The secret differs, or the request was changed after signing.
    #[error(
        "the signature does not match: check the secret access key, and whether a proxy changes the request (most often the Host header)"
    )]
    Signature,
}

impl<'a> Claim<'a> {
    /// Whether a header uses Signature Version 4.
    pub fn is_one(authorization: &str) -> bool {
        authorization.starts_with(ALGORITHM)
    }

    /// Parses a header. An access key id may contain slashes.
    pub fn parse(authorization: &'a str) -> Option<Self> {
        let rest = authorization.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let part = |name: &str| {
            rest.split(',')
                .find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
        };
        let mut scope = part("Credential")?.rsplitn(5, '/');
        if scope.next()? != "aws4_request" {
            return None;
        }
        let (service, region, date) = (scope.next()?, scope.next()?, scope.next()?);
        Some(Self {
            access_key_id: scope.next()?,
            date,
            region,
            service,
            signed_headers: part("SignedHeaders")?,
            signature: part("Signature")?,
        })
    }

    /// The client's access key id, not yet verified.
    pub fn access_key_id(&self) -> &'a str {
        self.access_key_id
    }

    /// The region and the service for which the client signed.
    pub fn scope(&self) -> (&'a str, &'a str) {
        (self.region, self.service)
    }

    /// Verifies what needs no body: the signed headers, the time, and the signature itself if the request states the hash
    /// of its body.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify_head(
        &self,
        request: &Parts,
        secret: &str,
        now: SystemTime,
    ) -> Result<VerifiedHead, VerifyError> {
        let signs = |name: &str| self.signed_headers.split(';').any(|signed| signed == name);
        // With HTTP/2, AWS's SDK for JavaScript signs the pseudo-header in place of `host`.
        let host = signs("host") || (request.version == Version::HTTP_2 && signs(AUTHORITY));
        if !host {
            return Err(VerifyError::NotSigned("host"));
        }
        if !signs("x-amz-date") {
            return Err(VerifyError::NotSigned("x-amz-date"));
        }
        let (_, time) = self.time(&request.headers)?;
        let skew = now
            .duration_since(time)
            .unwrap_or_else(|ahead| ahead.duration());
        if skew > LARGEST_SKEW {
            return Err(VerifyError::Skew {
                seconds: skew.as_secs(),
            });
        }
        let Some(stated) = request.headers.get(CONTENT_HASH) else {
            return Ok(VerifiedHead { is_proven: false });
        };
        let is_hash = |text: &&str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let stated = stated.to_str().ok().filter(is_hash);
        self.check_signature(request, stated.ok_or(VerifyError::Body)?, secret)?;
        Ok(VerifiedHead { is_proven: true })
    }

    /// Verifies that the request was signed with `secret`, for this path, these headers and this body, within the
    /// allowed clock skew.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn verify(
        &self,
        request: &Parts,
        body: &[u8],
        secret: &str,
        now: SystemTime,
    ) -> Result<(), VerifyError> {
        let head = self.verify_head(request, secret, now)?;
        self.verify_body(head, request, body, secret)
    }

    /// Verifies the rest after [`Self::verify_head`]. The time is not verified again: a large body may take minutes.
    ///
    /// # Errors
    /// When the body differs from its hash, or the signature from the expected one.
    pub fn verify_body(
        &self,
        head: VerifiedHead,
        request: &Parts,
        body: &[u8],
        secret: &str,
    ) -> Result<(), VerifyError> {
        let body_hash = hex::encode(Sha256::digest(body));
        if head.is_proven {
            let stated = request.headers.get(CONTENT_HASH);
            let is_same = stated.is_some_and(|stated| stated.as_bytes() == body_hash.as_bytes());
            return is_same.then_some(()).ok_or(VerifyError::Body);
        }
        self.check_signature(request, &body_hash, secret)
    }

    fn check_signature(
        &self,
        request: &Parts,
        body_hash: &str,
        secret: &str,
    ) -> Result<(), VerifyError> {
        let (timestamp, time) = self.time(&request.headers)?;
        let canonical = self.canonical_request(request, body_hash)?;
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        );
        let text = string_to_sign(timestamp, &scope, &canonical);
        let key = generate_signing_key(secret, time, self.region, self.service);
        let expected = calculate_signature(key, text.as_bytes());
        if bool::from(expected.as_bytes().ct_eq(self.signature.as_bytes())) {
            Ok(())
        } else {
            Err(VerifyError::Signature)
        }
    }

    /// `x-amz-date` as text and as a time.
    fn time<'h>(&self, headers: &'h HeaderMap) -> Result<(&'h str, SystemTime), VerifyError> {
        let text = headers
            .get("x-amz-date")
            .and_then(|value| value.to_str().ok())
            .filter(|text| text.starts_with(self.date) && text.is_ascii())
            .ok_or(VerifyError::Time)?;
        let digits = |from: usize, to: usize| text.get(from..to).ok_or(VerifyError::Time);
        let spelled_out = format!(
            "{}-{}-{}T{}:{}:{}Z",
            digits(0, 4)?,
            digits(4, 6)?,
            digits(6, 8)?,
            digits(9, 11)?,
            digits(11, 13)?,
            digits(13, 15)?
        );
        let time = DateTime::from_str(&spelled_out, Format::DateTime)
            .ok()
            .and_then(|time| SystemTime::try_from(time).ok())
            .filter(|_| text.len() == 16 && self.date.len() == 8)
            .ok_or(VerifyError::Time)?;
        Ok((text, time))
    }

    fn canonical_request(&self, request: &Parts, body_hash: &str) -> Result<String, VerifyError> {
        // Sorted and distinct, as AWS requires; repeated names would multiply the text.
        let names: Vec<&str> = self.signed_headers.split(';').collect();
        if !names.is_sorted_by(|one, next| one < next) {
            return Err(VerifyError::Header);
        }
        let uri = &request.uri;
        let mut canonical = Canonical::new(request.method.as_str(), uri.path(), uri.query());
        for name in names {
            // With HTTP/2 the host is in the URI.
            let is_host = name == header::HOST && !request.headers.contains_key(header::HOST);
            if is_host || name == AUTHORITY {
                let authority = uri.authority().ok_or(VerifyError::Header)?;
                canonical.text(name, authority.as_str());
            } else {
                canonical
                    .header(name, request.headers.get_all(name))
                    .ok_or(VerifyError::Header)?;
            }
        }
        Ok(canonical.finish(self.signed_headers, body_hash))
    }
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;
    use http::{HeaderValue, Request};

    use super::*;

    const SECRET: &str = "sk-a-key-of-the-gateway";
    const BODY: &[u8] = b"{\"messages\":[]}";
    const PATH: &str =
        "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A1%3Aapplication-inference-profile%2Fx/converse";

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000 + seconds)
    }

    /// A request signed by the SDK's signer.
    fn signed(access_key_id: &str) -> Parts {
        let request = Request::post(format!("http://gateway.team-a:8000{PATH}"))
            .header("content-type", "application/json")
            .header("x-amzn-bedrock-trace", "ENABLED")
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        let identity = Credentials::new(access_key_id, SECRET, None, None, "test").into();
        crate::sigv4::sign(
            &mut parts,
            std::iter::once(BODY),
            &identity,
            "us-east-1",
            "bedrock",
            at(0),
        )
        .unwrap();
        // The URI as a server receives it.
        parts.uri = PATH.parse().unwrap();
        parts
    }

    #[track_caller]
    fn check(
        parts: &Parts,
        body: &[u8],
        secret: &str,
        now: SystemTime,
        expected: &Result<(), VerifyError>,
    ) {
        let header = parts.headers["authorization"].to_str().unwrap();
        let claim = Claim::parse(header).unwrap();
        assert_eq!(&claim.verify(parts, body, secret, now), expected);
    }

    #[test]
    fn accepts_the_sdks_signature_and_rejects_any_change() {
        let parts = signed("ci");
        check(&parts, BODY, SECRET, at(30), &Ok(()));
        check(
            &parts,
            BODY,
            "sk-another",
            at(30),
            &Err(VerifyError::Signature),
        );
        check(&parts, b"{}", SECRET, at(30), &Err(VerifyError::Signature));
        check(
            &parts,
            BODY,
            SECRET,
            at(301),
            &Err(VerifyError::Skew { seconds: 301 }),
        );
        let mut moved = parts.clone();
        moved.uri = "/model/another/converse".parse().unwrap();
        check(&moved, BODY, SECRET, at(30), &Err(VerifyError::Signature));
        let mut changed = parts.clone();
        let value = HeaderValue::from_static("DISABLED");
        changed.headers.insert("x-amzn-bedrock-trace", value);
        check(&changed, BODY, SECRET, at(30), &Err(VerifyError::Signature));
        let mut hashed = parts;
        let value = HeaderValue::from_static("UNSIGNED-PAYLOAD");
        hashed.headers.insert("x-amz-content-sha256", value);
        check(&hashed, BODY, SECRET, at(30), &Err(VerifyError::Body));
    }

    #[test]
    fn rejects_a_signature_without_host_or_time() {
        let mut parts = signed("ci");
        for (from, to, expected) in [
            ("host;", "", VerifyError::NotSigned("host")),
            (";x-amz-date", "", VerifyError::NotSigned("x-amz-date")),
        ] {
            let text = parts.headers["authorization"].to_str().unwrap().to_owned();
            let changed = HeaderValue::try_from(text.replace(from, to)).unwrap();
            parts.headers.insert("authorization", changed);
            check(&parts, BODY, SECRET, at(0), &Err(expected));
            parts
                .headers
                .insert("authorization", HeaderValue::try_from(text).unwrap());
        }
        parts.headers.remove("x-amz-date");
        check(&parts, BODY, SECRET, at(0), &Err(VerifyError::Time));
    }

    /// A request of `@aws-sdk/client-bedrock-runtime` 3.1164.0 with its default HTTP/2 handler, recorded by a server of
    /// Node.js 20, and its time.
    fn recorded() -> (Parts, &'static [u8], SystemTime) {
        let authorization = "AWS4-HMAC-SHA256 Credential=default/20261128/us-east-1/bedrock/aws4_request, SignedHeaders=:authority;amz-sdk-invocation-id;amz-sdk-request;content-length;content-type;x-amz-content-sha256;x-amz-date;x-amz-user-agent, Signature=b194d79e56f2841ff45a30a14379281c521f496a4b7b5011ddf173cf8152a3b8";
        let request = Request::post("http://127.0.0.1:8000/model/fast/converse")
            .version(Version::HTTP_2)
            .header("content-type", "application/json")
            .header("content-length", "56")
            .header("x-amz-user-agent", "aws-sdk-js/3.1163.0")
            .header(
                "amz-sdk-invocation-id",
                "40bb8a14-c2c4-4530-873c-c4df5e9c33e7",
            )
            .header("amz-sdk-request", "attempt=1; max=1")
            .header("x-amz-date", "20261128T193721Z")
            .header(
                "x-amz-content-sha256",
                "c3335e07d6e89650bf94cb98664be69f8774dbc3198df221f113db0a59ea14f0",
            )
            .header("authorization", authorization)
            .body(())
            .unwrap();
        let body = br#"{"messages":[{"role":"user","content":[{"text":"hi"}]}]}"#;
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_894_641);
        (request.into_parts().0, body, now)
    }

    #[test]
    fn accepts_a_signed_authority_with_http_2_only() {
        let (mut parts, body, now) = recorded();
        check(&parts, body, "sk-rig", now, &Ok(()));
        parts.version = Version::HTTP_11;
        let not_signed = Err(VerifyError::NotSigned("host"));
        check(&parts, body, "sk-rig", now, &not_signed);
        parts.version = Version::HTTP_2;
        parts.uri = parts
            .uri
            .to_string()
            .replace("127.0.0.1", "127.0.0.2")
            .parse()
            .unwrap();
        check(&parts, body, "sk-rig", now, &Err(VerifyError::Signature));
    }

    #[test]
    fn a_stated_hash_proves_the_signature_before_the_body() {
        let (parts, body, now) = recorded();
        let header = parts.headers["authorization"].to_str().unwrap();
        let claim = Claim::parse(header).unwrap();
        assert_eq!(claim.scope(), ("us-east-1", "bedrock"));
        let head = claim.verify_head(&parts, "sk-rig", now).unwrap();
        assert!(head.is_proven());
        assert_eq!(
            claim.verify_head(&parts, "sk-other", now),
            Err(VerifyError::Signature)
        );
        assert_eq!(claim.verify(&parts, body, "sk-rig", now), Ok(()));
        assert_eq!(
            claim.verify(&parts, b"{}", "sk-rig", now),
            Err(VerifyError::Body)
        );
        let unstated = signed("ci");
        let header = unstated.headers["authorization"].to_str().unwrap();
        let claim = Claim::parse(header).unwrap();
        let head = claim.verify_head(&unstated, "wrong", at(0)).unwrap();
        assert!(!head.is_proven());
    }

    #[test]
    fn repeated_signed_headers_are_rejected() {
        let mut parts = signed("ci");
        let text = parts.headers["authorization"].to_str().unwrap();
        let repeated = text.replace("host;", &"host;".repeat(5_000));
        let value = HeaderValue::try_from(repeated).unwrap();
        parts.headers.insert("authorization", value);
        check(&parts, BODY, SECRET, at(0), &Err(VerifyError::Header));
    }

    #[test]
    fn access_key_id_may_contain_slashes_and_invalid_headers_do_not_parse() {
        let parts = signed("key/with+slashes==");
        let header = parts.headers["authorization"].to_str().unwrap();
        let claim = Claim::parse(header).unwrap();
        assert_eq!(claim.access_key_id(), "key/with+slashes==");
        for text in [
            "",
            "Bearer x",
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=x",
            "AWS4-HMAC-SHA256 Credential=a/1/r/s/aws4_request, Signature=x",
        ] {
            assert_eq!(Claim::parse(text), None, "{text}");
        }
    }
}
