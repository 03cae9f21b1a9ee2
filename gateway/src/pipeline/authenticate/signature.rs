//! Clients that can only sign: Signature Version 4 instead of a key.
//!
//! Two modes, by the access key id. If it is an API key or a ServiceAccount's token, it is checked like a bearer
//! token and the signature is ignored. If it is the name of a client whose key is the secret access key, the
//! signature proves the key, the request and its time, and the key itself is never sent.

use std::time::SystemTime;

use bedrock::sigv4::{Claim, VerifyError};
use http::{HeaderMap, header, request::Parts};

use super::{Authenticator, caller::Caller};
use crate::http::error::{GatewayError, Result};

/// The result of authenticating the headers of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// An authenticated client.
    Known(Caller),
    /// A client whose signature must be verified with the body.
    Signed(String),
}

impl Authenticator {
    /// Authenticates a request by its headers, including a signature.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub(crate) fn identify_headers(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Identity> {
        let Some(authorization) = signed(headers).filter(|_| !self.is_open()) else {
            return self.authenticate(headers, now).map(Identity::Known);
        };
        let claim = Claim::parse(authorization).ok_or_else(unreadable)?;
        let id = claim.access_key_id();
        if self.keys.secret_of(id).is_some() {
            return Ok(Identity::Signed(id.to_owned()));
        }
        self.identify(id, now).map(Identity::Known)
    }

    /// Checks the signature of a client.
    ///
    /// # Errors
    /// 401 that names the mismatch.
    pub(crate) fn verify(
        &self,
        client: &str,
        request: &Parts,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Caller> {
        let claim = signed(&request.headers).and_then(Claim::parse);
        let (Some(claim), Some(secret)) = (claim, self.keys.secret_of(client)) else {
            return Err(unreadable());
        };
        claim.verify(request, body, secret, now).map_err(|error| {
            GatewayError::Unauthenticated {
                message: error.to_string(),
                code: match error {
                    VerifyError::Skew { .. } | VerifyError::Time => "signature_expired",
                    _ => "invalid_signature",
                },
            }
        })?;
        self.unless_revoked(Caller::with_key(client))
    }
}

fn signed(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Claim::is_one(text).then_some(text)
}

fn unreadable() -> GatewayError {
    GatewayError::Unauthenticated {
        message: "the Authorization header is not a valid Signature Version 4 header".to_owned(),
        code: "invalid_authorization_header",
    }
}
