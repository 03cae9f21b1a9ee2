//! Values of a `BedrockAccess` that would give its author more than permission to edit it. Pure.
//!
//! The operator creates pods, ServiceAccounts and a Service with its own permissions. An image, a Secret or a URL from the
//! spec can therefore do what only a user who can create such objects could do. Each of these values needs a rule of a
//! policy that allows it, or an author with the [`Permission`] to do the same without the operator (ADR-0024).
//! `tests.rs` assigns every field of the spec to a class, so that a new field cannot be forgotten.

mod endpoint;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use api::{
    names,
    v1alpha1::{
        BedrockAccessSpec,
        gateway::GatewaySpec,
        http_route::HttpRouteSpec,
        identity::IrsaSpec,
        policy::{BedrockAccessPolicySpec, IdentityKind},
        service_account::ServiceAccountSpec,
        tls::TlsSpec,
    },
};
use k8s_openapi::api::core::v1::{Affinity, PodAffinityTerm, Toleration, WeightedPodAffinityTerm};

use endpoint::is_aws_service;

/// Longest text of a value in a message, in characters.
const SHOWN: usize = 200;
/// API group of cert-manager, which the text of an issuer omits.
const CERT_MANAGER: &str = "cert-manager.io";
/// Taints that every pod tolerates for a while: the API server adds these tolerations itself.
const DEFAULT_TAINTS: [&str; 2] = [
    "node.kubernetes.io/not-ready=*:NoExecute",
    "node.kubernetes.io/unreachable=*:NoExecute",
];

/// A restricted value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restricted {
    /// Rule of a policy that can allow it.
    pub(crate) rule: Rule,
    /// Permission of an author who could do the same without the operator.
    pub(crate) permission: Permission,
    /// Field of the `BedrockAccess`, without list indices.
    pub(crate) field: String,
    /// Value, as the rule matches it.
    pub(crate) text: String,
    /// Parts of the value that the rule does not match.
    pub(crate) detail: String,
}

/// A rule of a policy for restricted values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    Images,
    Endpoints,
    Audiences,
    ServiceAccounts,
    Secrets,
    PriorityClassNames,
    Tolerations,
    TopologyKeys,
    Metadata,
    Identities,
    Issuers,
    Gateways,
    Hostnames,
}

/// A permission in the namespace of the `BedrockAccess`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Create Deployments or Pods.
    Workloads,
    /// Get this Secret. Implied by [`Permission::Workloads`]: a pod can mount each Secret of its namespace.
    Secret(String),
    /// Create ServiceAccounts.
    ServiceAccounts,
    /// Create Services.
    Services,
    /// Create Certificates of cert-manager.
    Certificates,
    /// Create HTTPRoutes of the Gateway API.
    HttpRoutes,
}

impl Rule {
    /// The name of the field in a policy.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Endpoints => "endpoints",
            Self::Audiences => "audiences",
            Self::ServiceAccounts => "serviceAccounts",
            Self::Secrets => "secrets",
            Self::PriorityClassNames => "priorityClassNames",
            Self::Tolerations => "tolerations",
            Self::TopologyKeys => "topologyKeys",
            Self::Metadata => "metadata",
            Self::Identities => "identities",
            Self::Issuers => "issuers",
            Self::Gateways => "gateways",
            Self::Hostnames => "hostnames",
        }
    }

    /// The patterns of a policy that has the rule.
    pub(super) fn patterns(self, policy: &BedrockAccessPolicySpec) -> Option<Cow<'_, [String]>> {
        let patterns = match self {
            Self::Images => &policy.images,
            Self::Endpoints => &policy.endpoints,
            Self::Audiences => &policy.audiences,
            Self::ServiceAccounts => &policy.service_accounts,
            Self::Secrets => &policy.secrets,
            Self::PriorityClassNames => &policy.priority_class_names,
            Self::Tolerations => &policy.tolerations,
            Self::TopologyKeys => &policy.topology_keys,
            Self::Metadata => &policy.metadata,
            Self::Issuers => &policy.issuers,
            Self::Gateways => &policy.gateways,
            Self::Hostnames => &policy.hostnames,
            Self::Identities => {
                let kinds = policy.identities.as_ref()?.iter();
                return Some(kinds.map(|kind| kind.as_str().to_owned()).collect());
            }
        };
        patterns.as_deref().map(Cow::Borrowed)
    }
}

impl Restricted {
    fn new(rule: Rule, field: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            rule,
            permission: Permission::Workloads,
            field: field.into(),
            text: text.into(),
            detail: String::new(),
        }
    }

    fn with(mut self, permission: Permission) -> Self {
        self.permission = permission;
        self
    }

    /// The value for a message.
    pub(crate) fn shown(&self) -> String {
        let mut text: String = self.text.chars().take(SHOWN).collect();
        if text.len() < self.text.len() {
            text.push('…');
        }
        text
    }

    fn secret(field: &str, name: &str) -> Self {
        Self::new(Rule::Secrets, field, name).with(Permission::Secret(name.to_owned()))
    }
}

/// The restricted values of a spec. Values that every `BedrockAccess` may have are not in the list, such as the endpoints
/// of AWS.
pub(crate) fn restricted(spec: &BedrockAccessSpec) -> Vec<Restricted> {
    let mut values = identity(spec);
    values.extend(endpoints(spec));
    values.extend(service_account(&spec.service_account));
    values.extend(metadata("spec.commonLabels", &spec.common_labels));
    if let Some(keys) = &spec.clients.api_keys {
        values.push(Restricted::secret(
            "spec.clients.apiKeys.secretName",
            &keys.secret_name,
        ));
    }
    values.extend(gateway(&spec.gateway));
    values
}

fn identity(spec: &BedrockAccessSpec) -> Vec<Restricted> {
    let identity = &spec.identity;
    let audience = identity.irsa.as_ref().map(IrsaSpec::audience);
    let audience = audience.filter(|audience| *audience != names::STS_AUDIENCE);
    let secret = identity.secret.as_ref();
    let ambient = identity.ambient.as_ref().map(|_| IdentityKind::Ambient);
    audience
        .map(|audience| Restricted::new(Rule::Audiences, "spec.identity.irsa.audience", audience))
        .into_iter()
        .chain(secret.map(|secret| Restricted::secret("spec.identity.secret.name", &secret.name)))
        .chain(ambient.map(|kind| {
            // The credentials of the node, which any pod can have.
            Restricted::new(Rule::Identities, "spec.identity", kind.as_str())
        }))
        .collect()
}

fn endpoints(spec: &BedrockAccessSpec) -> Vec<Restricted> {
    let urls = spec.endpoints.iter().flat_map(|endpoints| {
        [
            ("bedrockRuntime", &endpoints.bedrock_runtime),
            ("bedrockMantle", &endpoints.bedrock_mantle),
            ("bedrock", &endpoints.bedrock),
            ("sts", &endpoints.sts),
        ]
    });
    let urls = urls.filter_map(|(name, url)| Some((name, url.as_deref()?)));
    let mut values: Vec<Restricted> = urls
        .filter(|(_, url)| !is_aws_service(url))
        .map(|(name, url)| Restricted::new(Rule::Endpoints, format!("spec.endpoints.{name}"), url))
        .collect();
    if let Some(store) = spec
        .limits
        .as_ref()
        .and_then(|limits| limits.store.as_ref())
    {
        let field = "spec.limits.store.redis";
        let redis = &store.redis;
        values.push(Restricted::new(
            Rule::Endpoints,
            format!("{field}.url"),
            redis.url.as_str(),
        ));
        let secret = redis.secret_name.as_ref();
        values.extend(secret.map(|name| Restricted::secret(&format!("{field}.secretName"), name)));
    }
    values
}

fn service_account(account: &ServiceAccountSpec) -> Vec<Restricted> {
    let permission = if account.create {
        // A role or a RoleBinding may already trust a name that no ServiceAccount has yet.
        Permission::ServiceAccounts
    } else {
        Permission::Workloads
    };
    let name = account.name.as_ref();
    let mut values: Vec<Restricted> = name
        .map(|name| Restricted::new(Rule::ServiceAccounts, "spec.serviceAccount.name", name))
        .map(|value| value.with(permission))
        .into_iter()
        .collect();
    for (name, map) in [
        ("annotations", &account.annotations),
        ("labels", &account.labels),
    ] {
        let map = map.iter().flat_map(|map| {
            metadata(&format!("spec.serviceAccount.{name}"), map).collect::<Vec<_>>()
        });
        values.extend(map.map(|value| value.with(Permission::ServiceAccounts)));
    }
    values
}

fn gateway(gateway: &GatewaySpec) -> Vec<Restricted> {
    let mut values = Vec::new();
    if let Some(image) = &gateway.image {
        values.push(Restricted::new(Rule::Images, "spec.gateway.image", image));
    }
    for secret in &gateway.image_pull_secrets {
        values.push(Restricted::secret(
            "spec.gateway.imagePullSecrets",
            &secret.name,
        ));
    }
    if let Some(class) = &gateway.priority_class_name {
        let field = "spec.gateway.priorityClassName";
        values.push(Restricted::new(Rule::PriorityClassNames, field, class));
    }
    let taints = gateway.tolerations.iter().map(taint);
    let taints = taints.filter(|taint| !DEFAULT_TAINTS.contains(&taint.as_str()));
    values.extend(
        taints.map(|taint| Restricted::new(Rule::Tolerations, "spec.gateway.tolerations", taint)),
    );
    values.extend(gateway.affinity.iter().flat_map(pod_affinity));
    values.extend(metadata("spec.gateway.podLabels", &gateway.pod_labels));
    values.extend(metadata(
        "spec.gateway.podAnnotations",
        &gateway.pod_annotations,
    ));
    values.extend(gateway.tls.iter().filter_map(tls));
    values.extend(gateway.http_route.iter().flat_map(http_route));
    let service = &gateway.service;
    values.extend(
        metadata("spec.gateway.service.labels", &service.labels)
            .chain(metadata(
                "spec.gateway.service.annotations",
                &service.annotations,
            ))
            .map(|value| value.with(Permission::Services)),
    );
    values
}

/// A Secret that the pods mount, or an issuer whose certificates can be trusted by others.
fn tls(tls: &TlsSpec) -> Option<Restricted> {
    let field = "spec.gateway.tls";
    let secret = tls.secret_name.as_ref();
    let secret = secret.map(|name| Restricted::secret(&format!("{field}.secretName"), name));
    secret.or_else(|| {
        let issuer = tls.issuer_ref.as_ref()?;
        let kind = match issuer.group() {
            CERT_MANAGER => issuer.kind().to_owned(),
            group => format!("{}.{group}", issuer.kind()),
        };
        let text = format!("{kind}/{}", issuer.name);
        let value = Restricted::new(Rule::Issuers, format!("{field}.issuerRef"), text);
        Some(value.with(Permission::Certificates))
    })
}

/// A route exposes the Service outside the cluster, and takes host names of the Gateway.
fn http_route(route: &HttpRouteSpec) -> Vec<Restricted> {
    let field = "spec.gateway.httpRoute";
    let parents = route.parent_refs.iter().map(|parent| {
        let text = match &parent.namespace {
            Some(namespace) => format!("{namespace}/{}", parent.name),
            None => parent.name.clone(),
        };
        Restricted {
            detail: serde_json::to_string(parent).unwrap_or_default(),
            ..Restricted::new(Rule::Gateways, format!("{field}.parentRefs"), text)
        }
    });
    // Without host names, the route serves all names of the Gateway.
    let all = ["*".to_owned()];
    let hostnames = match route.hostnames.as_slice() {
        [] => &all,
        hostnames => hostnames,
    };
    let hostnames = hostnames
        .iter()
        .map(|hostname| Restricted::new(Rule::Hostnames, format!("{field}.hostnames"), hostname));
    let values = parents.chain(hostnames);
    values
        .map(|value| value.with(Permission::HttpRoutes))
        .collect()
}

/// Labels and annotations can have an effect on Services, NetworkPolicies, admission webhooks and other controllers.
fn metadata(field: &str, map: &BTreeMap<String, String>) -> impl Iterator<Item = Restricted> {
    map.iter()
        .map(move |(key, value)| Restricted::new(Rule::Metadata, field, format!("{key}={value}")))
}

/// The taints that a toleration matches, in the form of `kubectl taint`: `key=value:effect`. A toleration without a key
/// tolerates every taint, and is written with `*`, which only the pattern `*` matches.
fn taint(toleration: &Toleration) -> String {
    let key = toleration.key.as_deref().filter(|key| !key.is_empty());
    let mut text = key.unwrap_or("*").to_owned();
    let exists = toleration.operator.as_deref() == Some("Exists");
    if let Some(value) = toleration.value.as_deref().filter(|_| !exists) {
        text.push('=');
        text.push_str(value);
    } else if exists && key.is_some() {
        // Any value.
        text.push_str("=*");
    }
    if let Some(effect) = toleration.effect.as_deref().filter(|text| !text.is_empty()) {
        text.push(':');
        text.push_str(effect);
    }
    text
}

/// Anti-affinity of a pod keeps other pods away from a node or zone, those of other namespaces, too.
fn pod_affinity(affinity: &Affinity) -> Vec<Restricted> {
    let near = affinity.pod_affinity.iter().flat_map(|near| {
        topology_keys(
            "podAffinity",
            near.required_during_scheduling_ignored_during_execution
                .as_deref(),
            near.preferred_during_scheduling_ignored_during_execution
                .as_deref(),
        )
    });
    let far = affinity.pod_anti_affinity.iter().flat_map(|far| {
        topology_keys(
            "podAntiAffinity",
            far.required_during_scheduling_ignored_during_execution
                .as_deref(),
            far.preferred_during_scheduling_ignored_during_execution
                .as_deref(),
        )
    });
    near.chain(far).collect()
}

fn topology_keys<'a>(
    kind: &'a str,
    required: Option<&'a [PodAffinityTerm]>,
    preferred: Option<&'a [WeightedPodAffinityTerm]>,
) -> impl Iterator<Item = Restricted> + 'a {
    let preferred = preferred.unwrap_or_default().iter();
    let preferred = preferred.map(|term| &term.pod_affinity_term);
    let terms = required.unwrap_or_default().iter().chain(preferred);
    terms.map(move |term| topology_key(kind, term))
}

fn topology_key(kind: &str, term: &PodAffinityTerm) -> Restricted {
    let field = format!("spec.gateway.affinity.{kind}");
    Restricted {
        detail: serde_json::to_string(term).unwrap_or_default(),
        ..Restricted::new(Rule::TopologyKeys, field, term.topology_key.as_str())
    }
}

impl fmt::Display for Restricted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.shown())
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workloads => f.write_str("create deployments or pods"),
            Self::Secret(name) => write!(f, "get secrets/{name}, or create deployments or pods"),
            Self::ServiceAccounts => f.write_str("create serviceaccounts"),
            Self::Services => f.write_str("create services"),
            Self::Certificates => f.write_str("create certificates.cert-manager.io"),
            Self::HttpRoutes => f.write_str("create httproutes.gateway.networking.k8s.io"),
        }
    }
}

#[cfg(test)]
mod tests;
