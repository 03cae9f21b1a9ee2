//! Clients that can only sign: Signature Version 4 instead of a key.
//!
//! Two modes, by the access key id. If it is an API key or a ServiceAccount's token, it is checked like a bearer
//! token and the signature is ignored. If it is the name of a client whose key is the secret access key, the
//! signature proves the key, the request and its time, and the key itself is never sent.

use std::time::SystemTime;

use bedrock::sigv4::{Claim, VerifiedHead, VerifyError};
use http::{HeaderMap, header, request::Parts};

use super::{Authenticator, caller::Caller};
use crate::http::{
    decoders::apart,
    error::{GatewayError, Result},
};

/// Names of Bedrock's services in signatures.
const SERVICES: [&str; 3] = ["bedrock", "bedrock-runtime", "bedrock-mantle"];

/// The result of authenticating the headers of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// An authenticated client.
    Known(Caller),
    /// A client whose signature must be verified with the body.
    Signed {
        /// Its name.
        client: String,
        /// What is verified already.
        head: VerifiedHead,
    },
}

impl Authenticator {
    /// Authenticates a request by its head, including a signature. Everything that needs no body is verified.
    ///
    /// # Errors
    /// As [`Authenticator::authenticate`].
    pub(crate) fn identify_head(&self, request: &Parts, now: SystemTime) -> Result<Identity> {
        let headers = &request.headers;
        let Some(authorization) = signed(headers).filter(|_| !self.is_open()) else {
            return self.authenticate(headers, now).map(Identity::Known);
        };
        let claim = Claim::parse(authorization).ok_or_else(unreadable)?;
        let id = claim.access_key_id();
        let Some(secret) = self.keys.secret_of(id) else {
            return self.identify(id, now).map(Identity::Known);
        };
        self.check_scope(&claim)?;
        let head = claim
            .verify_head(request, secret, now)
            .map_err(|error| rejected(&error))?;
        Ok(Identity::Signed {
            client: id.to_owned(),
            head,
        })
    }

    /// Rejects signatures for other services and regions, as AWS does.
    fn check_scope(&self, claim: &Claim<'_>) -> Result<()> {
        let (region, service) = claim.scope();
        let message = if !SERVICES.contains(&service) {
            format!("the signature is for the service {service:?}, not for \"bedrock\"")
        } else if !self.regions.is_empty() && !self.regions.contains(region) {
            let regions: Vec<&str> = self.regions.iter().map(String::as_str).collect();
            format!(
                "the signature is for the region {region:?}, and this gateway serves {}",
                regions.join(", ")
            )
        } else {
            return Ok(());
        };
        Err(GatewayError::Unauthenticated {
            message,
            code: "invalid_signature",
        })
    }

    /// Verifies the rest of the signature of a client.
    ///
    /// # Errors
    /// 401 that names the mismatch.
    pub(crate) fn verify(
        &self,
        client: &str,
        head: VerifiedHead,
        request: &Parts,
        body: &[u8],
    ) -> Result<Caller> {
        let claim = signed(&request.headers).and_then(Claim::parse);
        let (Some(claim), Some(secret)) = (claim, self.keys.secret_of(client)) else {
            return Err(unreadable());
        };
        // Hashing takes time in proportion to the body, and strangers can send many of them.
        apart(body.len(), || {
            claim.verify_body(head, request, body, secret)
        })
        .map_err(|error| rejected(&error))?;
        self.unless_revoked(Caller::with_key(client))
    }
}

fn signed(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    Claim::is_one(text).then_some(text)
}

fn rejected(error: &VerifyError) -> GatewayError {
    GatewayError::Unauthenticated {
        message: error.to_string(),
        code: match error {
            VerifyError::Skew { .. } | VerifyError::Time => "signature_expired",
            _ => "invalid_signature",
        },
    }
}

fn unreadable() -> GatewayError {
    GatewayError::Unauthenticated {
        message: "the Authorization header is not a valid Signature Version 4 header".to_owned(),
        code: "invalid_authorization_header",
    }
}
