//! The credentials that sign a request: one generation of them, cheap to clone and to keep.

use std::{fmt, sync::Arc, time::SystemTime};

use aws_credential_types::Credentials;
use aws_smithy_runtime_api::client::identity::{Identity, http::Token};

use crate::secret::BearerToken;

/// Credentials as a source returns them.
#[derive(Clone, Debug)]
pub(crate) enum Material {
    /// An access key, with or without a session token.
    Keys(Credentials),
    /// A Bedrock API key.
    Bearer(BearerToken),
}

/// One generation of credentials. Cloning copies a pointer.
#[derive(Clone)]
pub struct ActiveCredentials(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    identity: Identity,
    material: Material,
    generation: u64,
    obtained_at: SystemTime,
}

impl Material {
    pub(crate) fn expires_at(&self) -> Option<SystemTime> {
        match self {
            Self::Keys(keys) => keys.expiry(),
            Self::Bearer(_) => None,
        }
    }

    /// Whether both are the same secret with the same expiration.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keys(left), Self::Keys(right)) => left == right,
            (Self::Bearer(left), Self::Bearer(right)) => left == right,
            (Self::Keys(_), Self::Bearer(_)) | (Self::Bearer(_), Self::Keys(_)) => false,
        }
    }
}

impl ActiveCredentials {
    pub(crate) fn new(material: Material, generation: u64, obtained_at: SystemTime) -> Self {
        let identity = match &material {
            Material::Keys(keys) => Identity::from(keys.clone()),
            Material::Bearer(bearer) => Identity::new(Token::new(bearer.token(), None), None),
        };
        Self(Arc::new(Inner {
            identity,
            material,
            generation,
            obtained_at,
        }))
    }

    pub(crate) fn material(&self) -> &Material {
        &self.0.material
    }

    /// For `aws-sigv4`: the SDK's `Credentials`, or its bearer `Token` if [`Self::bearer`] is `Some`.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// The Bedrock API key, if any: send it as `Authorization: Bearer` instead of signing.
    pub fn bearer(&self) -> Option<&BearerToken> {
        match &self.0.material {
            Material::Bearer(bearer) => Some(bearer),
            Material::Keys(_) => None,
        }
    }

    /// Increases by one with each new set of credentials; the first is 1.
    pub fn generation(&self) -> u64 {
        self.0.generation
    }

    /// When these credentials expire, by AWS's clock; `None` for keys that do not expire.
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.0.material.expires_at()
    }

    /// When these credentials were obtained, by the corrected clock.
    pub fn obtained_at(&self) -> SystemTime {
        self.0.obtained_at
    }
}

impl fmt::Debug for ActiveCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ActiveCredentials")
            .field("generation", &self.generation)
            .field("bearer", &matches!(self.material, Material::Bearer(_)))
            .field("expires_at", &self.material.expires_at())
            .finish_non_exhaustive()
    }
}
