//! Third step of a reconcile: from a checked access to the objects that make it true.
//!
//! Pure, and the same bytes for equal input: maps are sorted, nothing is random, no clock is read. An
//! object holds exactly the fields the operator wants to own, since that is what server-side apply
//! takes ownership of.

mod autoscaler;
mod config;
mod deployment;
mod disruption_budget;
pub(crate) mod identity;
mod network_policy;
mod pod_monitor;
mod service;
mod service_account;
pub(crate) mod tracing;

use std::collections::BTreeMap;

use api::{config::ConfigError, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;
use serde_json::Value;

use crate::{
    access::validate::{ServiceAccount, Validated},
    children::ChildKind,
};

pub(crate) use config::gateway_config;

/// Name of the port of health, readiness and metrics of a gateway pod.
const ADMIN_PORT: &str = "admin";

/// Labels or annotations of an object that has none of its own.
type Empty = BTreeMap<String, String>;

/// The objects of an access, in a stage of their way; take it apart without `..`, so that a new kind
/// is handled everywhere.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resources<T> {
    /// `None` where an existing ServiceAccount is used, or there are only sidecars.
    pub(crate) service_account: Option<T>,
    /// The gateway's configuration.
    pub(crate) config: T,
    /// Who may reach the pods; `None` where that is left to others.
    pub(crate) network_policy: Option<T>,
    /// The gateway's pods; `None` where there are only sidecars.
    pub(crate) deployment: Option<T>,
    /// The gateway's address; `None` where there are only sidecars.
    pub(crate) service: Option<T>,
    /// How many pods may be missing; `None` where there is one at most.
    pub(crate) disruption_budget: Option<T>,
    /// Decides on the number of pods; `None` where it is fixed.
    pub(crate) autoscaler: Option<T>,
    /// Where Prometheus finds the pods; `None` where it is not asked for or cannot be had.
    pub(crate) pod_monitor: Option<T>,
}

/// An object ready to be applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    pub(crate) kind: ChildKind,
    pub(crate) name: String,
    /// The whole document, `apiVersion` and `kind` in it.
    pub(crate) object: Value,
}

/// Why objects could not be made; each would be a mistake of ours.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildError {
    /// The gateway would refuse its configuration.
    #[error("failed to make the gateway's configuration")]
    Config(#[source] ConfigError),
    /// An object cannot be written as JSON.
    #[error("failed to write {kind} as JSON")]
    Serialize {
        kind: ChildKind,
        source: serde_json::Error,
    },
}

/// Makes all objects of an access.
///
/// # Errors
/// Only by a mistake of ours.
pub(crate) fn build(access: &Validated) -> Result<Resources<Prepared>, BuildError> {
    let enabled = access.gateway.enabled;
    let service_account = match &access.service_account {
        ServiceAccount::Existing { .. } => None,
        ServiceAccount::Created { .. } if !enabled => None,
        ServiceAccount::Created {
            name,
            annotations,
            labels,
        } => Some(prepare(
            ChildKind::ServiceAccount,
            &service_account::build(access, name, annotations, labels),
        )?),
    };
    Ok(Resources {
        service_account,
        config: prepare(ChildKind::ConfigMap, &config::build(access)?)?,
        network_policy: enabled
            .then(|| network_policy::build(access))
            .flatten()
            .map(|object| prepare(ChildKind::NetworkPolicy, &object))
            .transpose()?,
        deployment: enabled
            .then(|| prepare(ChildKind::Deployment, &deployment::build(access)))
            .transpose()?,
        service: enabled
            .then(|| prepare(ChildKind::Service, &service::build(access)))
            .transpose()?,
        disruption_budget: enabled
            .then(|| disruption_budget::build(access))
            .flatten()
            .map(|object| prepare(ChildKind::PodDisruptionBudget, &object))
            .transpose()?,
        autoscaler: enabled
            .then(|| autoscaler::build(access))
            .flatten()
            .map(|object| prepare(ChildKind::HorizontalPodAutoscaler, &object))
            .transpose()?,
        pod_monitor: enabled
            .then(|| pod_monitor::build(access))
            .flatten()
            .map(|object| tidied(ChildKind::PodMonitor, access.child_name(), object)),
    })
}

fn prepare<K>(kind: ChildKind, object: &K) -> Result<Prepared, BuildError>
where
    K: Serialize + k8s_openapi::Metadata<Ty = ObjectMeta>,
{
    let name = object.metadata().name.clone().unwrap_or_default();
    let object =
        serde_json::to_value(object).map_err(|source| BuildError::Serialize { kind, source })?;
    Ok(tidied(kind, name, object))
}

fn tidied(kind: ChildKind, name: String, mut object: Value) -> Prepared {
    drop_empty_metadata(&mut object);
    Prepared { kind, name, object }
}

/// The API server drops empty maps of metadata: an object that held one would never look applied.
fn drop_empty_metadata(object: &mut Value) {
    for path in ["/metadata", "/spec/template/metadata"] {
        if let Some(Value::Object(fields)) = object.pointer_mut(path) {
            fields.retain(|_, value| value.as_object().is_none_or(|map| !map.is_empty()));
        }
    }
}

/// Metadata of a managed object, with additional labels and annotations.
fn metadata(
    access: &Validated,
    name: &str,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(access.namespace.clone()),
        labels: Some(labels_of(access, labels)),
        annotations: Some(annotations.clone()),
        owner_references: Some(vec![access.owner.clone()]),
        ..ObjectMeta::default()
    }
}

/// Labels of a managed object or of its pods: common labels, additional labels, then the operator's own. For the same
/// key, the later value wins.
fn labels_of(
    access: &Validated,
    additional: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut labels = with(&access.common_labels, additional.clone());
    labels.extend(own_labels(access));
    labels
}

/// The operator's own labels of every managed object.
fn own_labels(access: &Validated) -> BTreeMap<String, String> {
    let mut labels = selector(access);
    labels.insert(names::APP_INSTANCE_LABEL.to_owned(), access.name.clone());
    labels.insert(names::APP_COMPONENT_LABEL.to_owned(), "gateway".to_owned());
    labels.insert(
        names::APP_MANAGED_BY_LABEL.to_owned(),
        names::FIELD_MANAGER.to_owned(),
    );
    labels
}

/// Labels by which gateway pods are found. A Deployment's selector can never change, so these are few.
fn selector(access: &Validated) -> BTreeMap<String, String> {
    BTreeMap::from([
        (
            names::APP_NAME_LABEL.to_owned(),
            names::GATEWAY_NAME.to_owned(),
        ),
        (names::ACCESS_LABEL.to_owned(), access.name.clone()),
    ])
}

/// Both maps; what stands in the second wins.
fn with(
    base: &BTreeMap<String, String>,
    own: BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut all = base.clone();
    all.extend(own);
    all
}

#[cfg(test)]
mod tests;
