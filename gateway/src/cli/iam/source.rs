//! Input of the policies: the configuration file of a gateway, a `BedrockAccess`, or model IDs.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use api::{
    GatewayConfig, RoleArn, catalogue,
    config::{AssumeRole, ConfigError, Guardrail, Model, Target},
    names,
    v1alpha1::{self, BedrockAccess, identity::AssumeRoleSpec, models::TargetSpec},
};

use super::{Args, PrincipalKind};

/// Input of the policies.
#[derive(Debug)]
pub(super) struct Source {
    /// Models, patterns, guardrail and role chain; the other fields are not used.
    pub(super) config: GatewayConfig,
    /// Role of the identity, if the input names one.
    pub(super) role: Option<RoleArn>,
    /// Principal that assumes the role, if the input names one.
    pub(super) principal: Option<PrincipalKind>,
    /// Namespace and name of the gateway's ServiceAccount, if the input names them.
    pub(super) service_account: Option<(String, String)>,
    /// Audience of the ServiceAccount token.
    pub(super) audience: String,
    /// Whether any model is allowed, because the input has neither models nor patterns.
    pub(super) any_model: bool,
}

/// Why the input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file cannot be read.
    #[error("failed to read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the system.
        source: std::io::Error,
    },
    /// The file is not a valid configuration.
    #[error("{path}: {source}")]
    Config {
        /// The file.
        path: PathBuf,
        /// The field and the reason.
        source: ConfigError,
    },
    /// The file is not a valid `BedrockAccess`.
    #[error("{path}: not a valid BedrockAccess: {message}")]
    Access {
        /// The file.
        path: PathBuf,
        /// The field and the reason.
        message: String,
    },
}

impl Source {
    pub(super) fn read(args: &Args) -> Result<Self, SourceError> {
        if let Some(path) = &args.access {
            return Self::from_access(path);
        }
        let config = if args.model.is_empty() {
            match &args.config {
                Some(path) => GatewayConfig::from_yaml(&read(path)?).map_err(|source| {
                    SourceError::Config {
                        path: path.clone(),
                        source,
                    }
                })?,
                None => GatewayConfig::default(),
            }
        } else {
            let (patterns, ids): (Vec<_>, Vec<_>) =
                args.model.iter().partition(|id| id.contains('*'));
            GatewayConfig {
                models: ids.into_iter().map(|id| model(id)).collect(),
                allow: patterns.into_iter().flat_map(|id| family(id)).collect(),
                ..GatewayConfig::default()
            }
        };
        Ok(Self {
            any_model: config.models.is_empty() && config.allow.is_empty(),
            config,
            role: None,
            principal: None,
            service_account: None,
            audience: names::STS_AUDIENCE.to_owned(),
        })
    }

    fn from_access(path: &Path) -> Result<Self, SourceError> {
        let invalid = |message: String| SourceError::Access {
            path: path.to_owned(),
            message,
        };
        let access: BedrockAccess =
            serde_yaml::from_str(&read(path)?).map_err(|error| invalid(error.to_string()))?;
        let in_field =
            |field: &str, error: &dyn std::fmt::Display| invalid(format!("spec.{field}: {error}"));
        let spec = &access.spec;
        let identity = &spec.identity;
        let (role, audience) = match &identity.irsa {
            Some(irsa) => {
                let role = irsa.role_arn.parse();
                let role = role.map_err(|error| in_field("identity.irsa.roleArn", &error))?;
                (Some(role), irsa.audience().to_owned())
            }
            None => (None, names::STS_AUDIENCE.to_owned()),
        };
        let assume_roles: Result<Vec<AssumeRole>, SourceError> = identity
            .assume_roles
            .iter()
            .map(|link| assume_role(link).map_err(|error| in_field("identity.assumeRoles", &error)))
            .collect();
        let mut models = Vec::new();
        for model in &spec.models {
            let mut targets = Vec::new();
            for spec in model.targets.iter().flatten() {
                let mut target =
                    target(spec).map_err(|error| in_field("models.targets", &error))?;
                let role = spec.assume_role.as_ref().map(assume_role).transpose();
                target.assume_role =
                    role.map_err(|error| in_field("models.targets.assumeRole.roleArn", &error))?;
                targets.push(target);
            }
            targets.extend(model.model_id.iter().map(|id| Target::new(id)));
            models.push(Model {
                name: model.name.clone(),
                targets,
            });
        }
        let config = GatewayConfig {
            region: Some(
                spec.region
                    .parse()
                    .map_err(|error| in_field("region", &error))?,
            ),
            assume_roles: assume_roles?,
            attribution: spec
                .attribution
                .as_ref()
                .map(Into::into)
                .unwrap_or_default(),
            models,
            allow: spec.allow.clone(),
            guardrail: spec.guardrail.as_ref().map(|guardrail| Guardrail {
                identifier: guardrail.identifier.clone(),
                version: guardrail.version.clone(),
            }),
            ..GatewayConfig::default()
        };
        config
            .check()
            .map_err(|error| invalid(format!("spec.{error}")))?;
        let principal = if role.is_some() {
            Some(PrincipalKind::Irsa)
        } else {
            identity
                .pod_identity
                .as_ref()
                .map(|_| PrincipalKind::PodIdentity)
        };
        let name = access.metadata.name.unwrap_or_default();
        let account = spec.service_account.name.clone();
        let account = account.unwrap_or_else(|| v1alpha1::gateway_name(&name));
        let namespace = access.metadata.namespace;
        Ok(Self {
            any_model: config.models.is_empty() && config.allow.is_empty(),
            config,
            role,
            principal,
            service_account: namespace.map(|namespace| (namespace, account)),
            audience,
        })
    }
}

fn read(path: &Path) -> Result<String, SourceError> {
    let failed = |source| SourceError::Read {
        path: path.to_owned(),
        source,
    };
    if path == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(failed)
}

fn model(id: &str) -> Model {
    Model {
        name: id.to_owned(),
        targets: vec![Target::new(id)],
    }
}

/// A pattern of model IDs, and the inference profiles of these models.
fn family(pattern: &str) -> Vec<String> {
    let covers_profiles =
        pattern.starts_with('*') || catalogue::builtin().split_profile(pattern).is_some();
    let profiles =
        (!covers_profiles && !pattern.starts_with("arn:")).then(|| format!("*.{pattern}"));
    [pattern.to_owned()].into_iter().chain(profiles).collect()
}

fn target(spec: &TargetSpec) -> Result<Target, api::RegionError> {
    let region = spec.region.as_deref().map(str::parse).transpose()?;
    Ok(spec.in_region(region))
}

fn assume_role(spec: &AssumeRoleSpec) -> Result<AssumeRole, api::ArnError> {
    Ok(AssumeRole {
        role_arn: spec.role_arn.parse()?,
        session_name: spec.session_name.clone(),
        external_id: spec.external_id.clone(),
        duration_seconds: spec.duration_seconds,
    })
}
