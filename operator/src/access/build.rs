//! Third step of a reconcile: from a validated `BedrockAccess` to the objects that implement it.
//!
//! Pure and deterministic: equal input gives equal bytes. Maps are sorted; nothing is random; no clock is read. An
//! object contains exactly the fields that the operator wants to own, since server-side apply makes it the owner of
//! every field in the document.

mod autoscaler;
mod backend_tls_policy;
mod certificate;
mod client_config;
mod config;
mod container;
mod deployment;
mod disruption_budget;
mod http_route;
pub(crate) mod identity;
mod network_policy;
mod pod_monitor;
mod service;
mod service_account;
pub(crate) mod sidecar;
mod tracing;

use std::collections::BTreeMap;

use api::{config::ConfigError, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

use crate::{access::validate::Validated, owned::OwnedKind};

pub(crate) use config::{gateway_config, revoked_config};

/// Name of the gateway pods' port for health, readiness and metrics.
const ADMIN_PORT: &str = "admin";

/// The objects of a `BedrockAccess` at one stage of the reconcile. Destructure it without `..`, so that the compiler
/// finds every place that a new kind needs.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resources<T> {
    /// `None` if an existing ServiceAccount is used, or gateway pods are disabled.
    pub(crate) service_account: Option<T>,
    /// The gateway's configuration.
    pub(crate) config: T,
    /// Lets cert-manager create the certificate of the pods; `None` if not requested or not served by the cluster.
    pub(crate) certificate: Option<T>,
    /// Allows traffic to and from the pods; `None` if disabled.
    pub(crate) network_policy: Option<T>,
    /// The gateway's pods; `None` if gateway pods are disabled.
    pub(crate) deployment: Option<T>,
    /// The gateway's address; `None` if gateway pods are disabled.
    pub(crate) service: Option<T>,
    /// Limits voluntary disruptions of the pods; `None` if there is at most one pod.
    pub(crate) disruption_budget: Option<T>,
    /// Sets the number of pods; `None` if it is fixed.
    pub(crate) autoscaler: Option<T>,
    /// Lets Prometheus discover the pods; `None` if not requested or not served by the cluster.
    pub(crate) pod_monitor: Option<T>,
    /// Lets Gateways verify the certificate of the pods; `None` if not needed or not served by the cluster.
    pub(crate) backend_tls_policy: Option<T>,
    /// Lets Gateways forward requests to the Service; `None` if not requested or not served by the cluster.
    pub(crate) http_route: Option<T>,
    /// Settings for apps; `None` if gateway pods are disabled.
    pub(crate) client_config: Option<T>,
}

/// An object that is ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) kind: OwnedKind,
    pub(crate) name: String,
    /// The whole document, including `apiVersion` and `kind`.
    pub(crate) object: Value,
}

/// Why objects cannot be built; each is a bug in the operator.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The gateway would reject its configuration.
    #[error("failed to build the gateway's configuration")]
    Config(#[source] ConfigError),
    /// An object cannot be serialized as JSON.
    #[error("failed to serialize {kind} as JSON")]
    Serialize {
        kind: OwnedKind,
        source: serde_json::Error,
    },
}

/// Builds all objects of a `BedrockAccess`.
///
/// # Errors
/// Only in case of a bug in the operator.
pub(crate) fn build(access: &Validated) -> Result<Resources<Prepared>, BuildError> {
    let gateway = access.gateway.enabled.then_some(access);
    let document = |kind: OwnedKind, object: fn(&Validated) -> Option<Value>| {
        let access = gateway.filter(|access| access.served.contains(&kind))?;
        Some(tidied(kind, access.child_name(), object(access)?))
    };
    Ok(Resources {
        service_account: optional(
            OwnedKind::ServiceAccount,
            gateway.and_then(service_account::build),
        )?,
        config: prepare(OwnedKind::ConfigMap, &config::build(access)?)?,
        certificate: document(OwnedKind::Certificate, certificate::build),
        network_policy: optional(
            OwnedKind::NetworkPolicy,
            gateway.and_then(network_policy::build),
        )?,
        deployment: optional(OwnedKind::Deployment, gateway.map(deployment::build))?,
        service: optional(OwnedKind::Service, gateway.map(service::build))?,
        disruption_budget: optional(
            OwnedKind::PodDisruptionBudget,
            gateway.and_then(disruption_budget::build),
        )?,
        autoscaler: optional(
            OwnedKind::HorizontalPodAutoscaler,
            gateway.and_then(autoscaler::build),
        )?,
        pod_monitor: document(OwnedKind::PodMonitor, pod_monitor::build),
        backend_tls_policy: document(OwnedKind::BackendTlsPolicy, backend_tls_policy::build),
        http_route: document(OwnedKind::HttpRoute, http_route::build),
        client_config: optional(OwnedKind::ConfigMap, gateway.map(client_config::build))?,
    })
}

fn optional<K>(kind: OwnedKind, object: Option<K>) -> Result<Option<Prepared>, BuildError>
where
    K: Serialize + k8s_openapi::Metadata<Ty = ObjectMeta>,
{
    object.map(|object| prepare(kind, &object)).transpose()
}

fn prepare<K>(kind: OwnedKind, object: &K) -> Result<Prepared, BuildError>
where
    K: Serialize + k8s_openapi::Metadata<Ty = ObjectMeta>,
{
    let name = object.metadata().name.clone().unwrap_or_default();
    let object =
        serde_json::to_value(object).map_err(|source| BuildError::Serialize { kind, source })?;
    Ok(tidied(kind, name, object))
}

fn tidied(kind: OwnedKind, name: String, mut object: Value) -> Prepared {
    drop_empty_metadata(&mut object);
    Prepared { kind, name, object }
}

/// The API server drops empty maps in metadata; an object with an empty map would always look different.
fn drop_empty_metadata(object: &mut Value) {
    for path in ["/metadata", "/spec/template/metadata"] {
        if let Some(Value::Object(fields)) = object.pointer_mut(path) {
            fields.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
        }
    }
}

/// Metadata of an owned object with the name of the gateway.
fn metadata(access: &Validated) -> ObjectMeta {
    metadata_with(access, &BTreeMap::new(), &BTreeMap::new())
}

/// The same with additional labels and annotations.
fn metadata_with(
    access: &Validated,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(access.child_name()),
        namespace: Some(access.namespace.clone()),
        labels: Some(labels_of(access, labels)),
        annotations: Some(annotations.clone()),
        owner_references: Some(vec![access.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Labels of an owned object or of its pods: common labels, additional labels, then the operator's own. For the same key,
/// the later value takes precedence.
fn labels_of(
    access: &Validated,
    additional: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut labels = access.common_labels.clone();
    labels.extend(additional.clone());
    labels.extend(selector(access));
    for (name, value) in [
        (names::APP_INSTANCE_LABEL, access.name.as_str()),
        (names::APP_COMPONENT_LABEL, "gateway"),
        (names::APP_MANAGED_BY_LABEL, names::FIELD_MANAGER),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels
}

/// Labels that select the gateway pods. A Deployment's selector is immutable, so these are few.
fn selector(access: &Validated) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            names::APP_NAME_LABEL.to_owned(),
            names::GATEWAY_NAME.to_owned(),
        ),
        (names::ACCESS_LABEL.to_owned(), access.name.clone()),
    ])
}

#[cfg(test)]
mod tests;
