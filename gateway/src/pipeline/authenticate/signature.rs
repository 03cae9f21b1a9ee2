//! Clients that can only sign: Signature Version 4 in place of a key.
//!
//! Two ways, told apart by the access key id. It is the key itself, or a ServiceAccount's token: then that is the
//! proof, as if it had come as a bearer token, and the signature says nothing. Or it is the name of a client whose
//! key is the secret access key: then the signature is the proof, of the key, this very request and its time, and
//! the key itself is never sent.

use std::time::SystemTime;

use bedrock::sigv4::{Claim, VerifyError};
use http::{HeaderMap, header, request::Parts};

use super::{Authenticator, Caller};
use crate::http::error::GatewayError;

/// What the headers of a request prove.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Who calls.
    Given(Caller),
    /// Who says to have signed; to be verified once the body is there.
    Signed(String),
}

impl Authenticator {
    /// Finds out who calls, as far as headers tell.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub(crate) fn proof(
        &self,
        headers: &HeaderMap,
        now: SystemTime,
    ) -> Result<Proof, GatewayError> {
        let Some(authorization) = signed(headers).filter(|_| !self.is_open()) else {
            return self.authenticate(headers, now).map(Proof::Given);
        };
        let claim = Claim::parse(authorization).ok_or_else(unreadable)?;
        let id = claim.access_key_id();
        if self.keys.secret_of(id).is_some() {
            return Ok(Proof::Signed(id.to_owned()));
        }
        self.recognise(id, now).map(Proof::Given)
    }

    /// Checks the signature of a client.
    ///
    /// # Errors
    /// 401 that says what does not fit.
    pub(crate) fn verify(
        &self,
        client: &str,
        request: &Parts,
        body: &[u8],
        now: SystemTime,
    ) -> Result<Caller, GatewayError> {
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
        self.served(Caller::of_key(client))
    }
}

fn signed(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Claim::is_one(text).then_some(text)
}

fn unreadable() -> GatewayError {
    GatewayError::Unauthenticated {
        message: "the Authorization header is not one of Signature Version 4".to_owned(),
        code: "invalid_authorization_header",
    }
}
