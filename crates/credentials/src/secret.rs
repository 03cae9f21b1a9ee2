//! Secret text: redacted when printed, zeroed when dropped.
//!
//! The SDK's `Credentials`, which holds the access keys, does the same.

use std::fmt;

use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// A secret stored by this crate, such as a key before it is converted to the SDK's type.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Zeroizing<String>);

/// A Bedrock API key, sent as `Authorization: Bearer …` instead of a signature.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerToken(Secret);

impl Secret {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(Zeroizing::new(text.into()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl BearerToken {
    pub(crate) fn new(secret: Secret) -> Self {
        Self(secret)
    }

    /// The key in plain text, for the `Authorization` header only.
    pub fn token(&self) -> &str {
        self.0.expose()
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(redacted)")
    }
}

/// Replaces every occurrence of `secret` in `text`, for messages from other systems that may quote it.
pub(crate) fn scrub(text: &str, secret: &Secret) -> String {
    if secret.expose().is_empty() {
        text.to_owned()
    } else {
        text.replace(secret.expose(), "(redacted)")
    }
}
