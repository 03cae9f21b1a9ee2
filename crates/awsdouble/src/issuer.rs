//! A token issuer that signs JSON Web Tokens with a generated key. It simulates GitHub's OIDC provider, and the
//! cluster's in tests without a cluster.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::encoding::{hex, random};

/// Signs tokens with ES256.
#[derive(Debug)]
pub struct TokenIssuer {
    issuer: String,
    key_id: String,
    key: EcdsaKeyPair,
}

/// A key could not be generated or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to {0} with the token issuer's key")]
pub struct IssuerError(&'static str);

impl TokenIssuer {
    /// Generates a key for an issuer.
    ///
    /// # Errors
    /// If the operating system provides no random bytes.
    pub fn generate(issuer: &str) -> Result<Self, IssuerError> {
        let random_source = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random_source)
                .map_err(|_| IssuerError("generate"))?;
        let key = EcdsaKeyPair::from_pkcs8(
            &ECDSA_P256_SHA256_FIXED_SIGNING,
            document.as_ref(),
            &random_source,
        )
        .map_err(|_| IssuerError("load"))?;
        Ok(Self {
            issuer: issuer.to_owned(),
            key_id: hex(&random::<8>()),
            key,
        })
    }

    /// The issuer's URL.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The public key set.
    pub fn jwks(&self) -> Value {
        let point = self.key.public_key().as_ref();
        let coordinate =
            |from: usize| URL_SAFE_NO_PAD.encode(point.get(from..from + 32).unwrap_or_default());
        json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.key_id,
            "x": coordinate(1), "y": coordinate(33) }] })
    }

    /// Signs claims without changing them.
    ///
    /// # Errors
    /// If the operating system provides no random bytes.
    pub fn sign(&self, claims: &Value) -> Result<String, IssuerError> {
        let header = json!({ "alg": "ES256", "kid": self.key_id, "typ": "JWT" });
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| IssuerError("sign"))?;
        Ok(format!(
            "{signed}.{}",
            URL_SAFE_NO_PAD.encode(signature.as_ref())
        ))
    }

    /// A token like the projected token of a Kubernetes ServiceAccount.
    ///
    /// # Errors
    /// As [`TokenIssuer::sign`].
    pub fn service_account_token(
        &self,
        namespace: &str,
        service_account: &str,
        audience: &str,
        issued_at: u64,
        expires_at: u64,
    ) -> Result<String, IssuerError> {
        self.sign(&json!({
            "iss": self.issuer, "aud": [audience], "iat": issued_at, "nbf": issued_at, "exp": expires_at,
            "sub": format!("system:serviceaccount:{namespace}:{service_account}"),
            "jti": hex(&random::<8>()),
            "kubernetes.io": {
                "namespace": namespace, "serviceaccount": { "name": service_account, "uid": "0" } } }))
    }
}
