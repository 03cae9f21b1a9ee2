//! `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, for a session, `AWS_SESSION_TOKEN`.
//!
//! The environment of a process does not change, so these never renew themselves: for keys that are rotated
//! while the gateway runs there are the secret directory and the profile.

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

/// Keys as they were set.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret,
    pub(crate) session_token: Option<Secret>,
}

/// Hands out the same keys each time.
#[derive(Debug)]
pub(crate) struct StaticKeys(pub(crate) Keys);

impl Keys {
    /// None when neither key is set.
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
        Unavailable::new(Reason::Rejected, "reading the environment took too long")
    }

    fn way_out(&self) -> &'static str {
        if self.0.session_token.is_some() {
            "the session of AWS_SESSION_TOKEN has ended; restart with new keys, or use a role, which renews itself"
        } else {
            "check that the access key exists and is active, then restart with working keys"
        }
    }
}
