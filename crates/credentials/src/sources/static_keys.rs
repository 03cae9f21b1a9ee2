//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for temporary credentials, `AWS_SESSION_TOKEN`.
//!
//! The environment of a process does not change, so these keys are never renewed. To rotate keys while the
//! gateway runs, use the secret directory or a profile.

use aws_credential_types::Credentials;

use crate::{
    active::Material,
    environment::{Environment, value},
    secret::Secret,
    settings::SettingsError,
    sources::{Fetch, Source},
    unavailable::{Reason, Unavailable},
};

pub(crate) const ACCESS_KEY_ID: &str = "AWS_ACCESS_KEY_ID";
pub(crate) const SECRET_ACCESS_KEY: &str = "AWS_SECRET_ACCESS_KEY";
pub(crate) const SESSION_TOKEN: &str = "AWS_SESSION_TOKEN";

/// The keys from the environment.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret,
    pub(crate) session_token: Option<Secret>,
}

/// Returns the same keys at each fetch.
#[derive(Debug)]
pub(crate) struct StaticKeys(pub(crate) Keys);

impl Keys {
    /// `None` if neither part of the key is set.
    pub(crate) fn from_env(environment: &dyn Environment) -> Result<Option<Self>, SettingsError> {
        let incomplete = |set, missing| SettingsError::KeysIncomplete { set, missing };
        match (
            value(environment, ACCESS_KEY_ID),
            value(environment, SECRET_ACCESS_KEY),
        ) {
            (None, None) => Ok(None),
            (Some(_), None) => Err(incomplete(ACCESS_KEY_ID, SECRET_ACCESS_KEY)),
            (None, Some(_)) => Err(incomplete(SECRET_ACCESS_KEY, ACCESS_KEY_ID)),
            (Some(access_key_id), Some(secret)) => Ok(Some(Self {
                access_key_id,
                secret_access_key: Secret::new(secret),
                session_token: value(environment, SESSION_TOKEN).map(Secret::new),
            })),
        }
    }

    pub(crate) fn credentials(&self, provider: &'static str) -> Credentials {
        Credentials::new(
            self.access_key_id.as_str(),
            self.secret_access_key.expose(),
            self.session_token
                .as_ref()
                .map(|token| token.expose().to_owned()),
            None,
            provider,
        )
    }
}

impl Source for StaticKeys {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(async { Ok(Material::Keys(self.0.credentials("Environment"))) })
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::Rejected, "timeout while reading the environment")
    }

    fn fix(&self) -> &'static str {
        if self.0.session_token.is_some() {
            "The temporary credentials of AWS_SESSION_TOKEN have expired: restart with new ones, or use a role, which is renewed automatically"
        } else {
            "Check that the access key exists and is active, then restart with valid keys"
        }
    }
}
