//! Verifies web identity tokens like STS: registered issuer, signature by the issuer's published keys, registered
//! audience, expiration. `sts/assume.rs` evaluates the trust policy.

mod key_set;

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Map, Value};

use crate::clock::unix_seconds;
use crate::config::{JwksSource, OidcProvider};
use crate::error::AwsError;
use crate::record::{TokenClaims, fingerprint};
use key_set::{Header, Key, KeySet};

/// A verified token.
#[derive(Debug, Clone)]
pub(crate) struct VerifiedToken {
    pub(crate) issuer: String,
    pub(crate) claims: Map<String, Value>,
}

/// The providers and the keys that were fetched.
#[derive(Debug)]
pub(crate) struct Verifier {
    providers: Vec<OidcProvider>,
    keys: Mutex<BTreeMap<String, KeySet>>,
}

/// Reads the claims of a token without verification, for the record.
pub(crate) fn unverified_claims(token: &str) -> TokenClaims {
    let claims = claims(token).unwrap_or_default();
    let text = |name: &str| claims.get(name).and_then(Value::as_str).map(str::to_owned);
    TokenClaims {
        fingerprint: fingerprint(token),
        issuer: text("iss"),
        subject: text("sub"),
        audiences: audiences(&claims),
        expires_at: claims.get("exp").and_then(Value::as_u64),
    }
}

pub(crate) fn audiences(claims: &Map<String, Value>) -> Vec<String> {
    match claims.get("aud") {
        Some(Value::String(one)) => vec![one.clone()],
        Some(Value::Array(list)) => list
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

fn claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_, payload, _, None) = (parts.next()?, parts.next()?, parts.next()?, parts.next()) else {
        return None;
    };
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn invalid(message: impl Into<String>) -> AwsError {
    AwsError::new(400, "InvalidIdentityToken", message)
}

impl Verifier {
    pub(crate) fn new(providers: Vec<OidcProvider>) -> Self {
        Self {
            providers,
            keys: Mutex::new(BTreeMap::new()),
        }
    }

    /// Verifies a token; `audience` overrides the audiences registered in IAM (for Pod Identity).
    pub(crate) async fn verify(
        &self,
        token: &str,
        now: SystemTime,
        audience: Option<&str>,
    ) -> Result<VerifiedToken, AwsError> {
        let not_a_token = || {
            invalid(
                "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
            )
        };
        let claims = claims(token).ok_or_else(not_a_token)?;
        let header = Header::read(token).ok_or_else(not_a_token)?;
        let issuer = claims
            .get("iss")
            .and_then(Value::as_str)
            .ok_or_else(not_a_token)?;
        let provider = self
            .providers
            .iter()
            .find(|provider| provider.issuer == issuer)
            .ok_or_else(|| {
                invalid(format!(
                    "No OpenIDConnect provider found in your account for {issuer}"
                ))
            })?;
        let key = self.key(provider, header.kid.as_deref()).await?;
        if !key.verifies(token, &header.alg) {
            return Err(invalid(
                "The token's signature could not be verified with the identity provider's keys",
            ));
        }
        let expires_at = claims
            .get("exp")
            .and_then(Value::as_u64)
            .ok_or_else(not_a_token)?;
        let seconds = unix_seconds(now);
        if seconds >= expires_at {
            return Err(AwsError::new(
                400,
                "ExpiredTokenException",
                format!(
                    "Token expired: current date/time {seconds} must be before the expiration date/time {expires_at}"
                ),
            ));
        }
        // STS tolerates a clock difference of a few minutes.
        let not_before = claims.get("nbf").and_then(Value::as_u64).unwrap_or(0);
        if seconds + 300 < not_before {
            return Err(invalid(
                "Token is not valid yet: its nbf lies in the future",
            ));
        }
        let presented = audiences(&claims);
        let accepted = |wanted: &String| match audience {
            Some(only) => wanted == only,
            None => provider.audiences.contains(wanted),
        };
        if !presented.iter().any(accepted) {
            return Err(invalid("Incorrect token audience"));
        }
        Ok(VerifiedToken {
            issuer: issuer.to_owned(),
            claims,
        })
    }

    async fn key(&self, provider: &OidcProvider, key_id: Option<&str>) -> Result<Key, AwsError> {
        let find = |set: &KeySet| set.find(key_id).cloned();
        let known = {
            let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
            keys.get(&provider.issuer).and_then(find)
        };
        // Files are read each time: a recreated cluster with the same name has other keys.
        if let (Some(key), JwksSource::Url { .. } | JwksSource::Inline { .. }) =
            (known, &provider.jwks)
        {
            return Ok(key);
        }
        let set = load(&provider.jwks).await.map_err(|problem| {
            tracing::warn!(
                issuer = provider.issuer,
                problem,
                "unable to load a provider's keys"
            );
            AwsError::new(
                400,
                "IDPCommunicationError",
                "There was an error calling the identity provider's keys endpoint",
            )
        })?;
        let key = find(&set);
        self.keys
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(provider.issuer.clone(), set);
        key.ok_or_else(|| {
            invalid(
                "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements",
            )
        })
    }
}

async fn load(source: &JwksSource) -> Result<KeySet, String> {
    let bytes = match source {
        JwksSource::Inline { inline } => {
            return serde_json::from_value(inline.clone()).map_err(|error| error.to_string());
        }
        JwksSource::File { file } => tokio::fs::read(file)
            .await
            .map_err(|error| format!("{}: {error}", file.display()))?,
        JwksSource::Url { url } => tokio::time::timeout(Duration::from_secs(5), fetch(url))
            .await
            .map_err(|_| format!("{url}: timeout after 5 s"))??,
    };
    serde_json::from_slice(&bytes).map_err(|error| error.to_string())
}

async fn fetch(url: &str) -> Result<Vec<u8>, String> {
    let uri: http::Uri = url.parse().map_err(|error| format!("{url}: {error}"))?;
    if uri.scheme_str() != Some("http") {
        return Err(format!(
            "{url}: only http:// is supported; use a file for keys behind TLS"
        ));
    }
    let client: Client<HttpConnector, Empty<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let response = client
        .get(uri)
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    if !response.status().is_success() {
        return Err(format!("{url}: status {}", response.status()));
    }
    let body = response
        .into_body()
        .collect()
        .await
        .map_err(|error| format!("{url}: {error}"))?;
    Ok(body.to_bytes().to_vec())
}
