//! Chooses the credentials method from the environment, with the reason and the conflicts. Makes no network calls.
//!
//! The precedence is that of AWS's default credential provider chain. As in AWS's tools, a Bedrock API key
//! overrides every other method, and `AWS_ROLE_ARN` with `AWS_WEB_IDENTITY_TOKEN_FILE` always means web identity,
//! never AssumeRole with other keys. Each method that is set but not used results in a warning that names both.

mod check;
mod error;
mod found;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use error::SettingsError;

use crate::{
    choice::{Choice, Method},
    environment::{Environment, flag, value},
    proxies::Proxies,
    secret::Secret,
    sources::{
        container::ContainerSettings, instance::InstanceSettings, profile::ProfileSettings,
        static_keys::Keys,
    },
    sts::{AssumeRoleLink, StsSettings},
};
pub(crate) use check::check_role;
use check::{SESSION_NAME, endpoint, role_from_env, session_name_from};
use found::Found;

/// The validated settings and the chosen method.
#[derive(Clone, Debug)]
pub struct Settings {
    pub(crate) choice: Choice,
    pub(crate) base: Base,
    pub(crate) roles: Vec<AssumeRoleLink>,
    pub(crate) sts: StsSettings,
    pub(crate) session_name: String,
    /// The `default` profile, which has precedence over `base` if it contains credentials.
    pub(crate) default_profile: Option<ProfileSettings>,
    /// Whether STS is asked for the caller before the first credentials are used.
    pub(crate) check_identity: bool,
}

/// The settings of the base credentials' source.
#[derive(Clone, Debug)]
pub(crate) enum Base {
    Bearer(Secret),
    SecretDirectory(PathBuf),
    StaticKeys(Keys),
    Lambda(Keys),
    WebIdentityFile {
        path: PathBuf,
        role: AssumeRoleLink,
    },
    GitHub {
        url: String,
        authorization: Secret,
        role: AssumeRoleLink,
    },
    Profile(ProfileSettings),
    Container(ContainerSettings),
    Instance(InstanceSettings),
    /// No method except, possibly, the default profile.
    Nothing,
}

impl Settings {
    /// Reads the environment. `region`, `assume_roles` and `sts_endpoint` come from the configuration and override the
    /// variables; `session_name_hint` is the default for `AWS_ROLE_SESSION_NAME`.
    ///
    /// # Errors
    /// If settings are incomplete, invalid or contradictory.
    pub fn from_env(
        environment: &dyn Environment,
        region: Option<&str>,
        assume_roles: Vec<AssumeRoleLink>,
        sts_endpoint: Option<String>,
        session_name_hint: &str,
    ) -> Result<Self, SettingsError> {
        for (index, role) in assume_roles.iter().enumerate() {
            check_role(role, |field| format!("assumeRoles[{index}].{field}"))?;
        }
        let session_name = value(environment, SESSION_NAME);
        let own_role = role_from_env(environment, session_name.clone())?;
        let found = Found::detect(environment)?;
        let (base, because) = found.choose(own_role.as_ref())?;
        let uses_own_role = matches!(base, Base::WebIdentityFile { .. } | Base::GitHub { .. });
        // A Bedrock API key has precedence over the role of the environment, as it has over all methods.
        let is_bearer = matches!(base, Base::Bearer(_));
        let mut roles: Vec<_> = own_role
            .into_iter()
            .filter(|_| !uses_own_role && !is_bearer)
            .collect();
        roles.extend(assume_roles);
        if is_bearer && !roles.is_empty() {
            return Err(SettingsError::BearerWithRoles);
        }
        let method = base.method();
        let conflicts = found.conflicts(method, &base, environment, !roles.is_empty());
        let default_profile = found
            .default_profile
            .filter(|_| base.yields_to_default_profile());
        if matches!(base, Base::Nothing) && default_profile.is_none() {
            return Err(SettingsError::NothingConfigured);
        }
        let sts = StsSettings {
            region: region
                .map(str::to_owned)
                .or_else(|| value(environment, "AWS_REGION"))
                .or_else(|| value(environment, "AWS_DEFAULT_REGION")),
            endpoint: endpoint(environment, sts_endpoint)?,
            fips: flag(environment, "AWS_USE_FIPS_ENDPOINT"),
            dual_stack: flag(environment, "AWS_USE_DUALSTACK_ENDPOINT"),
            proxies: Proxies::from_env(environment),
        };
        let profile_may_set_region = matches!(base, Base::Profile(_)) || default_profile.is_some();
        if (uses_own_role || !roles.is_empty()) && sts.region.is_none() && !profile_may_set_region {
            return Err(SettingsError::RegionMissing);
        }
        Ok(Self {
            choice: Choice {
                method,
                because,
                assume_roles: roles.iter().map(|role| role.role_arn.clone()).collect(),
                conflicts,
            },
            base,
            roles,
            sts,
            session_name: session_name.unwrap_or_else(|| session_name_from(session_name_hint)),
            default_profile,
            check_identity: true,
        })
    }

    /// Uses keys without asking STS for their identity first, for endpoints that are not AWS's.
    #[must_use]
    pub fn without_identity_check(mut self) -> Self {
        self.check_identity = false;
        self
    }

    /// The choice based on variables only; [`crate::Handle::status`] has the final one, which takes the `default`
    /// profile into account.
    pub fn choice(&self) -> &Choice {
        &self.choice
    }
}

impl Base {
    pub(crate) fn method(&self) -> Method {
        match self {
            Self::Bearer(_) => Method::BedrockApiKey,
            Self::SecretDirectory(_) => Method::SecretDirectory,
            Self::StaticKeys(_) => Method::StaticKeys,
            Self::Lambda(_) => Method::Lambda,
            Self::WebIdentityFile { .. } => Method::WebIdentity,
            Self::GitHub { .. } => Method::GitHubActions,
            Self::Profile(_) | Self::Nothing => Method::Profile,
            Self::Container(container) => container.method,
            Self::Instance(_) => Method::InstanceProfile,
        }
    }

    /// Container and instance come after the profile in AWS's chain, even if `AWS_PROFILE` is not set.
    fn yields_to_default_profile(&self) -> bool {
        matches!(self, Self::Container(_) | Self::Instance(_) | Self::Nothing)
    }
}
