//! JSON Web Key Sets and token signatures (RFC 7515, 7517, 7518), verified with `ring`. Supports RSA and EC keys.
//! Independent of the gateway's token verification.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// The published keys of a provider.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// One public key.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Key {
    kid: Option<String>,
    kty: String,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The fields of a token header that the double uses.
#[derive(Debug, Deserialize)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: Option<String>,
}

impl Header {
    /// Reads the first part of a token.
    pub(super) fn read(token: &str) -> Option<Self> {
        let first = token.split('.').next()?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(first).ok()?).ok()
    }
}

impl KeySet {
    /// The key with this id, or the first key if `id` is `None`.
    pub(super) fn find(&self, id: Option<&str>) -> Option<&Key> {
        match id {
            Some(id) => self.keys.iter().find(|key| key.kid.as_deref() == Some(id)),
            None => self.keys.first(),
        }
    }
}

impl Key {
    /// Verifies the signature of `token` with this key and the algorithm of the token's header.
    pub(super) fn verifies(&self, token: &str, algorithm: &str) -> bool {
        self.check(token, algorithm).is_some()
    }

    fn check(&self, token: &str, algorithm: &str) -> Option<()> {
        let (message, signature) = token.rsplit_once('.')?;
        let (message, signature) = (message.as_bytes(), decoded(Some(signature))?);
        match (self.kty.as_str(), self.crv.as_deref(), algorithm) {
            ("RSA", _, "RS256" | "RS384" | "RS512") => {
                let parameters = match algorithm {
                    "RS256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                    "RS384" => &signature::RSA_PKCS1_2048_8192_SHA384,
                    _ => &signature::RSA_PKCS1_2048_8192_SHA512,
                };
                let (n, e) = (decoded(self.n.as_deref())?, decoded(self.e.as_deref())?);
                RsaPublicKeyComponents { n, e }
                    .verify(parameters, message, &signature)
                    .ok()
            }
            ("EC", Some("P-256"), "ES256") => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, self.point()?)
                    .verify(message, &signature)
                    .ok()
            }
            ("EC", Some("P-384"), "ES384") => {
                UnparsedPublicKey::new(&signature::ECDSA_P384_SHA384_FIXED, self.point()?)
                    .verify(message, &signature)
                    .ok()
            }
            _ => None,
        }
    }

    /// The uncompressed point of an EC key (SEC 1, section 2.3.3).
    fn point(&self) -> Option<Vec<u8>> {
        let mut point = vec![4];
        point.extend(decoded(self.x.as_deref())?);
        point.extend(decoded(self.y.as_deref())?);
        Some(point)
    }
}

fn decoded(text: Option<&str>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}
