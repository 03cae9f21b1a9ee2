//! AWS credentials of a configuration: the gateway's own, and one session for each role of its targets.
//!
//! Each has one background task for all its targets; requests only read the current value. A reload keeps the
//! credentials that it does not change, and removed ones end with the last request that uses them.

use std::{collections::BTreeMap, time::Duration};

use api::{GatewayConfig, Region, config::AssumeRole, names};
use credentials::{AssumeRoleLink, Environment, Handle, Reason, SharedTimeSource, Unavailable};
use futures::future::join_all;

use super::target::Target;
use crate::http::error::{GatewayError, Result};

/// Time for which a reload waits for the first credentials of new roles.
const NEW_ROLE_TIMEOUT: Duration = Duration::from_secs(5);

/// The credentials of all targets.
#[derive(Debug)]
pub(crate) struct AwsCredentials {
    base: Handle,
    /// The settings of `base`.
    source: Source,
    roles: BTreeMap<AssumeRole, Handle>,
    /// Whether this is the first configuration of the process.
    first: bool,
}

/// The credentials could not be started.
#[derive(Debug)]
pub(crate) enum CredentialsError {
    /// Invalid AWS settings.
    Settings(credentials::SettingsError),
    /// The background task did not start.
    Start(credentials::StartError),
}

/// The settings that credentials depend on; a reload that keeps them keeps the credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    region: String,
    assume_roles: Vec<AssumeRole>,
    sts: Option<String>,
    /// Whether STS is asked for the caller before keys are used.
    check_identity: bool,
    /// Tags of assumed sessions.
    tags: Vec<(String, String)>,
}

/// Endpoints of services that credentials depend on.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceEndpoints {
    pub(crate) sts: Option<String>,
    pub(crate) runtime: Option<String>,
}

impl ServiceEndpoints {
    /// Whether AWS's STS knows the keys: not if Bedrock's endpoint is not AWS's, such as that of a mock, and STS is.
    fn sts_knows_the_keys(&self, region: &Region) -> bool {
        let of_aws = |url: &String| {
            let uri = url.parse::<http::Uri>().ok();
            let host = uri.as_ref().and_then(http::Uri::host).unwrap_or_default();
            let suffixes = [region.partition().dns_suffix(), "api.aws"];
            suffixes.iter().any(|suffix| {
                host.strip_suffix(suffix)
                    .is_some_and(|rest| rest.ends_with('.'))
            })
        };
        self.sts.is_some() || self.runtime.as_ref().is_none_or(of_aws)
    }
}

impl AwsCredentials {
    /// Starts the credentials that `previous` does not have. A reload waits for new roles for a while, so that
    /// their targets have credentials when it becomes active.
    ///
    /// # Errors
    /// When AWS settings or a role are invalid.
    pub(crate) async fn start(
        (environment, clock): (&dyn Environment, &SharedTimeSource),
        config: &GatewayConfig,
        region: &Region,
        endpoints: ServiceEndpoints,
        previous: Option<&Self>,
    ) -> Result<Self, CredentialsError> {
        let source = Source {
            region: region.to_string(),
            assume_roles: config.assume_roles.clone(),
            check_identity: endpoints.sts_knows_the_keys(region),
            sts: endpoints.sts,
            tags: session_tags(config),
        };
        let first = previous.is_none();
        let kept = previous.filter(|previous| previous.source == source);
        let base = match kept {
            Some(kept) => kept.base.clone(),
            None => start_base((environment, clock), config, &source).await?,
        };
        let mut roles = BTreeMap::new();
        let mut new = Vec::new();
        for (role, field) in config.target_roles() {
            let handle = if let Some(handle) = kept.and_then(|kept| kept.roles.get(role)) {
                handle.clone()
            } else {
                let handle = base.assume(link(role, &source.tags), &field);
                let handle = handle.map_err(CredentialsError::Settings)?;
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

    /// The gateway's own credentials.
    pub(crate) fn base(&self) -> &Handle {
        &self.base
    }

    /// The credentials of each role of a target.
    pub(crate) fn roles(&self) -> impl Iterator<Item = (&AssumeRole, &Handle)> {
        self.roles.iter()
    }

    /// The credentials for a target.
    pub(crate) fn for_target(&self, target: &Target) -> Result<&Handle> {
        match &target.assume_role {
            None => Ok(&self.base),
            Some(role) => self.roles.get(role.as_ref()).ok_or(GatewayError::Internal(
                "no credentials for the role of a target",
            )),
        }
    }

    /// Whether requests can be served: the gateway has credentials that AWS accepts and, at startup, each role has been
    /// tried once. A rejected role does not affect the other targets.
    ///
    /// # Errors
    /// The missing credentials, or AWS's refusal.
    pub(crate) fn ready(&self) -> Result<(), Unavailable> {
        self.base.ready()?;
        let pending = |handle: &Handle| {
            let outcome = handle.current().err();
            outcome.filter(|why| why.reason == Reason::Pending)
        };
        let mut starting = self.roles.values().filter(|_| self.first);
        starting.find_map(pending).map_or(Ok(()), Err)
    }
}

async fn start_base(
    (environment, clock): (&dyn Environment, &SharedTimeSource),
    config: &GatewayConfig,
    source: &Source,
) -> Result<Handle, CredentialsError> {
    let session_name = config.access.as_ref().map_or_else(
        || names::GATEWAY_NAME.to_owned(),
        |access| format!("{}-{}", access.namespace, access.name),
    );
    let settings_of_credentials = credentials::Settings::from_env(
        environment,
        Some(&source.region),
        source
            .assume_roles
            .iter()
            .map(|role| link(role, &source.tags))
            .collect(),
        source.sts.clone(),
        &session_name,
    )
    .map_err(CredentialsError::Settings)?;
    let settings_of_credentials = if source.check_identity {
        settings_of_credentials
    } else {
        settings_of_credentials.without_identity_check()
    };
    credentials::start(settings_of_credentials, clock.clone())
        .await
        .map_err(CredentialsError::Start)
}

/// Session tags of the roles that the gateway assumes. They are in the bill as tags of the IAM principal.
/// <https://docs.aws.amazon.com/bedrock/latest/userguide/cost-mgmt-iam-principal-tracking.html>
pub(crate) fn session_tags(config: &GatewayConfig) -> Vec<(String, String)> {
    let access = config.access.as_ref();
    let access = access.filter(|_| config.attribution.session_tags);
    access.map_or_else(Vec::new, |access| {
        let tag = |name: &str, value: &str| (format!("{}/{name}", names::GROUP), value.to_owned());
        vec![
            tag("namespace", &access.namespace),
            tag("name", &access.name),
        ]
    })
}

/// The role as a link of a role chain.
pub(crate) fn link(role: &AssumeRole, tags: &[(String, String)]) -> AssumeRoleLink {
    AssumeRoleLink {
        role_arn: role.role_arn.as_str().to_owned(),
        session_name: role.session_name.clone(),
        external_id: role.external_id.clone(),
        duration_seconds: role.duration_seconds,
        tags: tags.to_vec(),
    }
}
