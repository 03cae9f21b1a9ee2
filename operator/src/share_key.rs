//! The key that signs shares of budgets for gateways, see `docs/decisions/0032-budgets.md`.
//!
//! Each process of the operator has its own, in memory only. The document of a gateway contains the public key of the
//! leader; after a change of the leader, gateways keep their shares and accept new ones once they have the new document.

use ring::{
    error::Unspecified,
    rand::SystemRandom,
    signature::{Ed25519KeyPair, KeyPair},
};

/// A private key. `Debug` prints its public key only.
#[derive(Debug)]
pub(crate) struct ShareKey(Ed25519KeyPair);

impl ShareKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub(crate) fn try_new() -> Result<Self, Unspecified> {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())?;
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| Unspecified)?;
        Ok(Self(pair))
    }

    /// The public key in hexadecimal.
    pub(crate) fn public(&self) -> String {
        hex::encode(self.0.public_key().as_ref())
    }

    /// The signature of a body in hexadecimal.
    pub(crate) fn sign(&self, body: &[u8]) -> String {
        hex::encode(self.0.sign(body).as_ref())
    }
}
