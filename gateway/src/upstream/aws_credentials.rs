//! The AWS credentials of a configuration: its own, and those of each role that targets name.
//!
//! Each has one task in the background, however many targets it serves; what a new document does not change is kept
//! with its credentials, what it no longer names ends with the last request that uses it. Requests read what is there.

use std::{collections::BTreeMap, time::Duration};

use api::{GatewayConfig, Region, config::AssumeRole, names};
use credentials::{AssumeRoleLink, Handle, Reason, Unavailable};
use futures::future::join_all;

use crate::{
    config::Settings,
    http::error::GatewayError,
    pipeline::{active_config::LoadError, route::Target},
};

/// How long a changed document waits for the first credentials of roles that it brings.
const NEW_ROLE_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything that requests are signed with.
#[derive(Debug)]
pub(crate) struct Sessions {
    base: Handle,
    /// What the base was started with.
    source: Source,
    roles: BTreeMap<AssumeRole, Handle>,
    /// Whether nothing was served before.
    first: bool,
}

/// Settings of the document that credentials depend on: when these stay, the credentials stay.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    region: String,
    assume_roles: Vec<AssumeRole>,
    sts: Option<String>,
}

impl Sessions {
    /// Starts what `previous` does not have already. A document that replaces another waits a while for its new roles,
    /// so that their targets have credentials when it comes into force.
    ///
    /// # Errors
    /// When AWS settings or a role make no sense.
    pub(crate) async fn start(
        settings: &Settings,
        config: &GatewayConfig,
        region: &Region,
        sts: Option<String>,
        previous: Option<&Self>,
    ) -> Result<Self, LoadError> {
        let source = Source {
            region: region.to_string(),
            assume_roles: config.assume_roles.clone(),
            sts: config.endpoints.sts.clone().or(sts),
        };
        let first = previous.is_none();
        let kept = previous.filter(|previous| previous.source == source);
        let base = match kept {
            Some(kept) => kept.base.clone(),
            None => start_base(settings, config, &source).await?,
        };
        let mut roles = BTreeMap::new();
        let mut new = Vec::new();
        for (role, field) in config.target_roles() {
            let handle = if let Some(handle) = kept.and_then(|kept| kept.roles.get(role)) {
                handle.clone()
            } else {
                let handle = base.assume(link(role), &field);
                let handle = handle.map_err(LoadError::CredentialSettings)?;
                new.push(handle.clone());
                handle
            };
            roles.insert(role.clone(), handle);
        }
        if !first {
            join_all(new.iter().map(|role| role.first_attempt(NEW_ROLE_TIMEOUT))).await;
        }
        Ok(Self {
            base,
            source,
            roles,
            first,
        })
    }

    /// The configuration's own.
    pub(crate) fn base(&self) -> &Handle {
        &self.base
    }

    /// Those of the roles of targets.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&AssumeRole, &Handle)> {
        self.roles.iter()
    }

    /// What calls of a target are signed with.
    pub(crate) fn of(&self, target: &Target) -> Result<&Handle, GatewayError> {
        match &target.assume_role {
            None => Ok(&self.base),
            Some(role) => self.roles.get(role.as_ref()).ok_or(GatewayError::Internal(
                "a target's role without its credentials",
            )),
        }
    }

    /// Whether requests can be served: there are credentials, and at the start each role of a target has been tried once.
    /// A role that was refused does not keep the other targets from serving.
    ///
    /// # Errors
    /// What is missing.
    pub(crate) fn ready(&self) -> Result<(), Unavailable> {
        self.base.current()?;
        let pending = |handle: &Handle| {
            let outcome = handle.current().err();
            outcome.filter(|why| why.reason == Reason::Pending)
        };
        let mut starting = self.roles.values().filter(|_| self.first);
        starting.find_map(pending).map_or(Ok(()), Err)
    }
}

async fn start_base(
    settings: &Settings,
    config: &GatewayConfig,
    source: &Source,
) -> Result<Handle, LoadError> {
    let session_name = config.access.as_ref().map_or_else(
        || names::GATEWAY_NAME.to_owned(),
        |access| format!("{}-{}", access.namespace, access.name),
    );
    let settings_of_credentials = credentials::Settings::from_env(
        settings.environment.as_ref(),
        Some(&source.region),
        source.assume_roles.iter().map(link).collect(),
        source.sts.clone(),
        &session_name,
    )
    .map_err(LoadError::CredentialSettings)?;
    credentials::start(settings_of_credentials, settings.clock.clone())
        .await
        .map_err(LoadError::Credentials)
}

/// The role in the words of `credentials`.
pub(crate) fn link(role: &AssumeRole) -> AssumeRoleLink {
    AssumeRoleLink {
        role_arn: role.role_arn.as_str().to_owned(),
        session_name: role.session_name.clone(),
        external_id: role.external_id.clone(),
        duration_seconds: role.duration_seconds,
    }
}
