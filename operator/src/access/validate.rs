//! Second step of a reconcile: from the spec that a user wrote to a value that can be built.
//!
//! Pure. Finds all invalid fields of the spec at once and names each of them. Rules of the CRD's schema are checked
//! again if a build depends on them: an object may be older than the schema. The build and apply steps read only
//! [`Validated`], never the spec; the status step also reads the spec, since an invalid object needs a status, too.

mod audit;
pub(crate) mod budgets;
mod clients;
mod identity;
mod labels;
mod limits;
mod models;
mod problems;
mod sidecar;
mod tls;

use std::collections::{BTreeMap, BTreeSet};

use api::{
    Region, RoleArn,
    config::{self, AssumeRole, Clients, Endpoints, Guardrail},
    names,
    v1alpha1::{
        BedrockAccess, BedrockAccessSpec, client_audience,
        gateway::{DEFAULT_REPLICAS, GatewaySpec},
        gateway_name,
        pod_monitor::PodMonitorSpec,
    },
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;

pub(crate) use labels::first_problem as label_problem;
pub(crate) use limits::Limits;
pub(crate) use problems::Problem;
pub(crate) use sidecar::Sidecar;
pub(crate) use tls::{CertificateSource, Entry, Tls, issued_secret};

use problems::{Problems, list};

use crate::{
    access::observe::Observed,
    gateway_defaults::ProxySettings,
    owned::OwnedKind,
    settings::{Settings, Tracing},
};

/// Longest name of a `BedrockAccess` with which the names of its owned objects still fit a DNS label.
const MAX_NAME: usize = 55;
/// Longest session name that STS accepts.
const MAX_SESSION_NAME: usize = 64;

/// The validated input of the next steps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Validated {
    /// Namespace of the `BedrockAccess` and of its owned objects.
    pub(crate) namespace: String,
    /// Name of the `BedrockAccess`.
    pub(crate) name: String,
    /// Owner reference for the owned objects.
    pub(crate) owner: OwnerReference,
    /// Labels of every managed object and of the gateway pods.
    pub(crate) common_labels: BTreeMap<String, String>,
    /// Region of STS and of the models.
    pub(crate) region: Region,
    /// Endpoints other than AWS's own.
    pub(crate) endpoints: Endpoints,
    /// Source of the AWS credentials.
    pub(crate) identity: Identity,
    /// Roles to assume with these credentials, in order.
    pub(crate) assume_roles: Vec<AssumeRole>,
    /// The ServiceAccount of the gateway pods.
    pub(crate) service_account: ServiceAccount,
    /// Models by name.
    pub(crate) models: Vec<config::Model>,
    /// Patterns of model ids that clients may use directly.
    pub(crate) allow: Vec<String>,
    pub(crate) s3_sources: Vec<String>,
    /// Applied to every request.
    pub(crate) guardrail: Option<Guardrail>,
    /// Client authentication.
    pub(crate) clients: Clients,
    /// Rate limits of all clients together.
    pub(crate) limits: Limits,
    /// Distribution of requests among targets.
    pub(crate) routing: config::Routing,
    /// What gateways tell AWS about the origin of requests.
    pub(crate) attribution: config::Attribution,
    /// Audit records of gateways, if any.
    pub(crate) audit: Option<config::Audit>,
    /// Prices that differ from AWS's public prices.
    pub(crate) prices: Option<config::Prices>,
    /// Secret with the clients' API keys.
    pub(crate) api_keys_secret: Option<String>,
    /// Settings of the gateway pods, with the defaults of the platform.
    pub(crate) gateway: GatewaySpec,
    /// Settings of sidecars, if enabled.
    pub(crate) sidecar: Option<Sidecar>,
    /// Number of gateway pods.
    pub(crate) scale: Scale,
    /// The PodMonitor, if requested.
    pub(crate) pod_monitor: Option<PodMonitorSpec>,
    /// TLS of the gateway pods.
    pub(crate) tls: Option<Tls>,
    /// The optional kinds that the cluster serves.
    pub(crate) served: BTreeSet<OwnedKind>,
    /// The gateway's image.
    pub(crate) image: String,
    /// Trace export of the gateway.
    pub(crate) tracing: Option<Tracing>,
    /// OpenTelemetry's conventions for the gateway's metrics.
    pub(crate) conventions: Option<String>,
    /// Proxy of the gateway for requests to AWS.
    pub(crate) proxy: ProxySettings,
    /// Issuer of the cluster's tokens, if known.
    pub(crate) issuer: Option<String>,
    /// Whether the policies deny the object, so that its gateways must serve nothing.
    pub(crate) revoked: bool,
}

/// Source of the AWS credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::enum_variant_names,
    reason = "EKS Pod Identity is the name of the product"
)]
pub(crate) enum Identity {
    /// Exchange a projected token at STS.
    Irsa {
        role: RoleArn,
        session_name: String,
        token_expiration_seconds: i64,
        audience: String,
    },
    /// Get credentials from the EKS Pod Identity agent on the node.
    PodIdentity,
    /// Read credentials from a Secret.
    Secret { name: String },
    /// Use the SDK's default chain.
    Ambient,
}

/// The ServiceAccount of the gateway pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServiceAccount {
    /// Created by the operator.
    Created {
        name: String,
        annotations: BTreeMap<String, String>,
        labels: BTreeMap<String, String>,
    },
    /// Exists already; never changed.
    Existing { name: String },
}

/// Number of gateway pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// A fixed number.
    Fixed(i32),
    /// Set by an autoscaler.
    Automatic {
        min: i32,
        max: i32,
        cpu_percent: i32,
    },
}

impl Scale {
    /// The fixed number of gateway pods, or the minimum of the autoscaler.
    pub(crate) fn least(self) -> i32 {
        match self {
            Self::Fixed(replicas) => replicas,
            Self::Automatic { min, .. } => min,
        }
    }
}

/// Why a `BedrockAccess` cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValidateError {
    /// The object is invalid.
    #[error("{}", list(.0))]
    Invalid(Vec<Problem>),
    /// An object that the spec refers to does not exist.
    #[error("{0}")]
    NotFound(Problem),
    /// The cluster's signing keys are not known yet.
    #[error(
        "spec.clients.serviceAccounts: the cluster's token signing keys (/openid/v1/jwks) have not been read yet"
    )]
    ClusterKeys,
}

impl ServiceAccount {
    /// Name of the ServiceAccount.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Created { name, .. } | Self::Existing { name } => name,
        }
    }
}

impl Validated {
    /// The role shown in the status: the web identity's role, otherwise the last assumed role.
    pub(crate) fn role(&self) -> Option<&RoleArn> {
        match &self.identity {
            Identity::Irsa { role, .. } => Some(role),
            _ => self.assume_roles.last().map(|link| &link.role_arn),
        }
    }

    /// The role that signs requests, whose permissions apply.
    pub(crate) fn signing_role(&self) -> Option<&RoleArn> {
        self.assume_roles
            .last()
            .map(|link| &link.role_arn)
            .or_else(|| self.role())
    }

    /// ServiceAccounts whose tokens are exchanged for credentials: the gateway's first, then those of pods with a
    /// sidecar.
    pub(crate) fn signing_accounts(&self) -> Vec<String> {
        let gateway = self.gateway.enabled.then(|| self.service_account.name());
        let sidecars = self
            .sidecar
            .iter()
            .flat_map(|sidecar| sidecar.service_accounts.iter().map(String::as_str))
            .filter(|account| Some(*account) != gateway);
        gateway
            .into_iter()
            .chain(sidecars)
            .map(ToOwned::to_owned)
            .collect()
    }

    /// Name of the Deployment, Service and ConfigMap.
    pub(crate) fn child_name(&self) -> String {
        gateway_name(&self.name)
    }

    /// Base URL for clients inside the cluster.
    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!(
            "{scheme}://{}.{}.svc:{}",
            self.child_name(),
            self.namespace,
            names::GATEWAY_PORT
        )
    }

    /// Audience of clients' ServiceAccount tokens.
    pub(crate) fn audience(&self) -> String {
        client_audience(&self.namespace, &self.name)
    }
}

/// Validates a `BedrockAccess` against the observed state.
///
/// # Errors
/// All invalid fields of the object, or the first object that it refers to and that does not exist.
pub(crate) fn validate(
    access: &BedrockAccess,
    observed: &Observed,
    settings: &Settings,
) -> Result<Validated, ValidateError> {
    let spec = &access.spec;
    let mut problems = Problems::default();
    let namespace = access.metadata.namespace.clone().unwrap_or_default();
    let name = access.metadata.name.clone().unwrap_or_default();
    check_name(&name, &mut problems);
    labels::check("spec.commonLabels", &spec.common_labels, &mut problems);
    let region = problems.parse::<Region>("spec.region", &spec.region);
    let session_name = identity::session_name(&namespace, &name);
    let identity = identity::identity(&spec.identity, &session_name, &mut problems);
    let assume_roles =
        identity::assume_roles(&spec.identity.assume_roles, &session_name, &mut problems);
    let service_account = service_account(spec, &name, &mut problems);
    let models = models::models(&spec.models, region.as_ref(), &session_name, &mut problems);
    identity::check_partitions(
        region.as_ref(),
        identity.as_ref(),
        &assume_roles,
        &models,
        &mut problems,
    );
    models::check_allow(spec, &mut problems);
    check_prices(spec, &mut problems);
    clients::check(spec, &namespace, &mut problems);
    budgets::check(spec, &mut problems);
    check_scale(&spec.gateway, &mut problems);
    audit::check(spec, &mut problems);
    let endpoints = endpoints(spec, &mut problems);
    let sidecar = sidecar::sidecar(spec, settings, &mut problems);
    let domain = &settings.cluster_domain;
    let tls = spec.gateway.tls.as_ref().filter(|_| spec.gateway.enabled);
    let tls = tls.map(|tls| tls::tls(tls, &namespace, &name, domain, &mut problems));
    let (Some(owner), Some(region), Some(identity), Some(service_account), true) = (
        access.controller_owner_ref(&()),
        region,
        identity,
        service_account,
        problems.is_empty(),
    ) else {
        return Err(ValidateError::Invalid(problems.into_vec()));
    };
    if observed.existing_service_account == Some(false) {
        return Err(ValidateError::NotFound(Problem {
            field: "spec.serviceAccount.name".to_owned(),
            message: format!(
                "ServiceAccount {:?} does not exist in namespace {namespace}: create it, or set spec.serviceAccount.create to true",
                service_account.name()
            ),
        }));
    }
    let gateway = settings.gateway_defaults.gateway(spec);
    Ok(Validated {
        clients: clients::clients(spec, observed, &namespace, &name)?,
        limits: limits::limits(spec, settings),
        routing: spec.routing.as_ref().map(Into::into).unwrap_or_default(),
        attribution: audit::attribution(spec),
        audit: audit::audit(spec, settings),
        prices: settings.gateway_defaults.prices(spec),
        api_keys_secret: spec
            .clients
            .api_keys
            .as_ref()
            .map(|keys| keys.secret_name.clone()),
        common_labels: spec.common_labels.clone(),
        allow: spec.allow.clone(),
        s3_sources: spec.s3_sources.clone(),
        guardrail: spec.guardrail.as_ref().map(models::guardrail),
        sidecar,
        scale: scale(&spec.gateway),
        pod_monitor: gateway.pod_monitor.clone(),
        tls,
        served: observed.served.clone(),
        gateway: GatewaySpec {
            image_pull_policy: gateway
                .image_pull_policy
                .or(Some(settings.gateway_image_pull_policy)),
            ..gateway
        },
        image: spec
            .gateway
            .image
            .clone()
            .unwrap_or_else(|| settings.gateway_image.clone()),
        tracing: settings.gateway_tracing.clone(),
        conventions: settings.gateway_conventions.clone(),
        proxy: settings.gateway_defaults.proxy.clone(),
        issuer: observed
            .cluster_keys
            .as_ref()
            .map(|keys| keys.issuer.clone()),
        revoked: false,
        namespace,
        name,
        owner,
        region,
        endpoints,
        identity,
        assume_roles,
        service_account,
        models,
    })
}

/// The names of children begin with that of the object.
fn check_name(name: &str, problems: &mut Problems) {
    if name.len() > MAX_NAME
        || !name.starts_with(|c: char| c.is_ascii_lowercase())
        || name.contains('.')
    {
        problems.add(
            "metadata.name",
            format!("must be at most {MAX_NAME} lower-case letters, digits and hyphens, starting with a letter"),
        );
    }
}

fn service_account(
    spec: &BedrockAccessSpec,
    access: &str,
    problems: &mut Problems,
) -> Option<ServiceAccount> {
    let account = &spec.service_account;
    match (account.create, &account.name) {
        (true, name) => Some(ServiceAccount::Created {
            name: name.clone().unwrap_or_else(|| gateway_name(access)),
            annotations: account.annotations.clone().unwrap_or_default(),
            labels: account.labels.clone().unwrap_or_default(),
        }),
        (false, Some(name)) => Some(ServiceAccount::Existing { name: name.clone() }),
        (false, None) => {
            problems.add(
                "spec.serviceAccount.name",
                "is required if create is false: set it to the name of an existing ServiceAccount",
            );
            None
        }
    }
}

fn scale(gateway: &GatewaySpec) -> Scale {
    match &gateway.autoscaling {
        Some(autoscaling) => Scale::Automatic {
            min: autoscaling.min_replicas(),
            max: autoscaling.max_replicas,
            cpu_percent: autoscaling.target_cpu_percent(),
        },
        None => Scale::Fixed(gateway.replicas.unwrap_or(DEFAULT_REPLICAS)),
    }
}

/// The own prices alone: those of the platform are valid.
fn check_prices(spec: &BedrockAccessSpec, problems: &mut Problems) {
    if let Some(own) = &spec.prices
        && let Err(error) = api::prices::builtin().with(&own.into())
    {
        problems.add(format!("spec.prices.{}", error.field), error.problem);
    }
}

fn check_scale(gateway: &GatewaySpec, problems: &mut Problems) {
    let Some(autoscaling) = &gateway.autoscaling else {
        return;
    };
    if gateway.replicas.is_some() {
        problems.add(
            "spec.gateway",
            "set replicas or autoscaling, not both: the autoscaler controls the number of pods",
        );
    }
    if autoscaling.min_replicas() > autoscaling.max_replicas {
        problems.add(
            "spec.gateway.autoscaling",
            "minReplicas must not be greater than maxReplicas",
        );
    }
}

fn endpoints(spec: &BedrockAccessSpec, problems: &mut Problems) -> Endpoints {
    let Some(endpoints) = &spec.endpoints else {
        return Endpoints::default();
    };
    let mut checked = |name: &str, url: &Option<String>| {
        let url = url.as_ref()?;
        let trimmed = url.trim_end_matches('/');
        if !(url.starts_with("https://") || url.starts_with("http://")) {
            problems.add(
                format!("spec.endpoints.{name}"),
                "must be a URL that starts with https:// or http://",
            );
        }
        Some(trimmed.to_owned())
    };
    Endpoints {
        bedrock_runtime: checked("bedrockRuntime", &endpoints.bedrock_runtime),
        bedrock_mantle: checked("bedrockMantle", &endpoints.bedrock_mantle),
        bedrock: checked("bedrock", &endpoints.bedrock),
        sts: checked("sts", &endpoints.sts),
    }
}

#[cfg(test)]
mod tests;
