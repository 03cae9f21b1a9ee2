//! Tokens of Kubernetes ServiceAccounts, verified with the cluster's public keys from the configuration.
//!
//! Verifies signature, issuer, audience, times and subject, without calls to the Kubernetes API. Results are cached
//! by the hash of the token until it expires.
//! Claims: <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens>.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use api::config::{ServiceAccountClients, ServiceAccountSubject};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    jwk::{AlgorithmParameters, Jwk, JwkSet},
};
use serde::{Deserialize, de::IgnoredAny};
use sha2::{Digest, Sha256};

use super::{caller::Caller, signature_check};
use crate::http::error::{GatewayError, Result};

/// Tolerance for a cluster's clock that is ahead.
const LEEWAY: Duration = Duration::from_secs(30);
/// Maximum number of cached tokens; more than the pods of a busy namespace.
const CACHE_SIZE: usize = 4096;
const SUBJECT_PREFIX: &str = "system:serviceaccount:";

/// Verifies tokens.
pub(crate) struct ServiceAccounts {
    issuer: String,
    audience: String,
    keys: Vec<Key>,
    subjects: Vec<ServiceAccountSubject>,
    verified: Mutex<HashMap<[u8; 32], Verified>>,
}

struct Key {
    id: Option<String>,
    algorithms: &'static [Algorithm],
    decoding: DecodingKey,
}

#[derive(Clone)]
struct Verified {
    caller: Caller,
    expires_at: SystemTime,
}

/// The configuration has no usable key set.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// Not a JSON Web Key Set.
    #[error("clients.serviceAccounts.jwks: not a JSON Web Key Set: {0}")]
    Parse(#[from] serde_json::Error),
    /// No key of a supported type.
    #[error("clients.serviceAccounts.jwks: no RSA or EC key")]
    Empty,
}

#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: u64,
    #[serde(default)]
    nbf: u64,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Default for Audience {
    fn default() -> Self {
        Self::Many(Vec::new())
    }
}

impl Audience {
    fn contains(&self, wanted: &str) -> bool {
        match self {
            Self::One(one) => one == wanted,
            Self::Many(many) => many.iter().any(|one| one == wanted),
        }
    }

    fn list(&self) -> String {
        match self {
            Self::One(one) => one.clone(),
            Self::Many(many) => many.join(", "),
        }
    }
}

/// Whether a text has three parts separated by dots, the first a JSON object in base64.
pub(super) fn looks_like_a_token(text: &str) -> bool {
    text.starts_with("eyJ") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl ServiceAccounts {
    pub(super) fn try_new(clients: &ServiceAccountClients) -> Result<Self, KeySetError> {
        signature_check::install();
        // Filtered first: a set may contain unsupported kinds of keys.
        let set: JwkSet = serde_json::from_value(known_keys(&clients.jwks))?;
        let keys: Vec<Key> = set.keys.iter().filter_map(Key::new).collect();
        if keys.is_empty() {
            return Err(KeySetError::Empty);
        }
        Ok(Self {
            issuer: clients.issuer.clone(),
            audience: clients.audience.clone(),
            keys,
            subjects: clients.subjects.clone(),
            verified: Mutex::default(),
        })
    }

    pub(super) fn audience(&self) -> &str {
        &self.audience
    }

    pub(super) fn verify(&self, token: &str, now: SystemTime) -> Result<Caller> {
        let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        if let Some(known) = self.lock().get(&hash)
            && known.expires_at > now
        {
            return Ok(known.caller.clone());
        }
        let claims = self.check_signature(token)?;
        let expires_at = self.check_claims(&claims, now)?;
        let caller = self.caller(&claims.sub)?;
        self.cache(
            hash,
            Verified {
                caller: caller.clone(),
                expires_at,
            },
            now,
        );
        Ok(caller)
    }

    fn check_signature(&self, token: &str) -> Result<Claims> {
        let header = decode_header(token)
            .map_err(|_| refused("the token is not a JSON Web Token".to_owned()))?;
        if has_critical_extensions(token) {
            // RFC 7515, section 4.1.11.
            return Err(refused(
                "the token has critical header parameters (crit), which are not supported"
                    .to_owned(),
            ));
        }
        let mut candidates = self
            .keys
            .iter()
            .filter(|key| key.id.is_none() || header.kid.is_none() || key.id == header.kid)
            .filter(|key| key.algorithms.contains(&header.alg))
            .peekable();
        if candidates.peek().is_none() {
            return Err(refused(
                "the token is signed with a key that this cluster does not use (a token of another cluster, or the signing keys were just rotated)".to_owned(),
            ));
        }
        let mut problem = "invalid signature of the token";
        for candidate in candidates {
            let mut validation = Validation::new(header.alg);
            // Checked below with the gateway's clock and more specific errors.
            validation.validate_exp = false;
            validation.validate_nbf = false;
            validation.validate_aud = false;
            validation.required_spec_claims.clear();
            match decode::<Claims>(token, &candidate.decoding, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(error) => {
                    if !matches!(error.kind(), ErrorKind::InvalidSignature) {
                        problem = "invalid token";
                    }
                }
            }
        }
        Err(refused(problem.to_owned()))
    }

    /// Returns the expiry of the token.
    fn check_claims(&self, claims: &Claims, now: SystemTime) -> Result<SystemTime> {
        if claims.iss != self.issuer {
            return Err(refused(format!(
                "the token's issuer is {:?}, expected {:?}",
                claims.iss, self.issuer
            )));
        }
        if !claims.aud.contains(&self.audience) {
            return Err(refused(format!(
                "the token's audience is {:?}, expected {:?}: mount a projected serviceAccountToken with that audience",
                claims.aud.list(),
                self.audience
            )));
        }
        let at = |seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
        let expires_at = at(claims.exp)
            .ok_or_else(|| refused("the token's expiry is out of range".to_owned()))?;
        if expires_at <= now {
            return Err(refused(
                "the token has expired: read the mounted file again, which the kubelet renews"
                    .to_owned(),
            ));
        }
        if at(claims.nbf).is_none_or(|start| start > now.checked_add(LEEWAY).unwrap_or(now)) {
            return Err(refused("the token is not valid yet".to_owned()));
        }
        Ok(expires_at)
    }

    fn caller(&self, subject: &str) -> Result<Caller> {
        let (namespace, name) = subject
            .strip_prefix(SUBJECT_PREFIX)
            .and_then(|rest| rest.split_once(':'))
            .ok_or_else(|| {
                refused(format!(
                    "the token's subject is {subject:?}, expected a ServiceAccount"
                ))
            })?;
        self.subjects
            .iter()
            .find(|subject| subject.namespace == namespace && subject.name == name)
            .map(|subject| Caller {
                name: Caller::service_account_name(namespace, name),
                models: subject.models.clone(),
            })
            .ok_or_else(|| GatewayError::Forbidden {
                message: format!(
                    "the ServiceAccount {name} of namespace {namespace} may not use this gateway: add it to spec.clients.serviceAccounts of the BedrockAccess"
                ),
            })
    }

    fn cache(&self, hash: [u8; 32], verified: Verified, now: SystemTime) {
        let mut known = self.lock();
        if known.len() >= CACHE_SIZE {
            known.retain(|_, entry| entry.expires_at > now);
        }
        if known.len() >= CACHE_SIZE {
            known.clear();
        }
        known.insert(hash, verified);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Verified>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Option<Self> {
        let algorithms: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512],
            AlgorithmParameters::EllipticCurve(_) => &[Algorithm::ES256, Algorithm::ES384],
            _ => return None,
        };
        Some(Self {
            id: jwk.common.key_id.clone(),
            algorithms,
            decoding: DecodingKey::from_jwk(jwk).ok()?,
        })
    }
}

/// The set without unsupported keys.
fn known_keys(set: &serde_json::Value) -> serde_json::Value {
    let mut set = set.clone();
    if let Some(keys) = set.get_mut("keys").and_then(|keys| keys.as_array_mut()) {
        keys.retain(|key| serde_json::from_value::<Jwk>(key.clone()).is_ok());
    }
    set
}

fn refused(message: String) -> GatewayError {
    GatewayError::Unauthenticated {
        message,
        code: "invalid_token",
    }
}

impl fmt::Debug for ServiceAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServiceAccounts")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .field("subjects", &self.subjects)
            .finish_non_exhaustive()
    }
}

/// Whether the header of a token has the member `crit`.
fn has_critical_extensions(token: &str) -> bool {
    #[derive(Deserialize)]
    struct Header {
        crit: Option<IgnoredAny>,
    }
    let header = token.split('.').next().unwrap_or_default();
    let header = URL_SAFE_NO_PAD.decode(header).unwrap_or_default();
    serde_json::from_slice::<Header>(&header).is_ok_and(|header| header.crit.is_some())
}

#[cfg(test)]
mod tests;
