//! Defaults of the platform for all gateways: a document that the operator reads once, when it starts.
//!
//! A `BedrockAccess` inherits them. Maps merge by key, and the value of the object takes precedence; lists and scalars of
//! the object replace the default. The defaults are trusted: policies and permissions of authors apply only to values of
//! the object (ADR-0026). A document with a mistake is rejected as a whole.

mod check;

use std::{collections::BTreeMap, fs, io, path::Path};

use api::{
    config,
    v1alpha1::{
        BedrockAccessSpec, gateway::GatewaySpec, pod_monitor::PodMonitorSpec, prices::PricesSpec,
    },
};
use k8s_openapi::api::core::v1::{
    LocalObjectReference, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Defaults for the gateways of all `BedrockAccess` objects.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct GatewayDefaults {
    /// See `spec.gateway.imagePullSecrets`; also for sidecars.
    pub image_pull_secrets: Vec<LocalObjectReference>,
    /// See `spec.gateway.podLabels`.
    pub pod_labels: BTreeMap<String, String>,
    /// See `spec.gateway.podAnnotations`.
    pub pod_annotations: BTreeMap<String, String>,
    /// See `spec.gateway.nodeSelector`.
    pub node_selector: BTreeMap<String, String>,
    /// See `spec.gateway.tolerations`.
    pub tolerations: Vec<Toleration>,
    /// See `spec.gateway.topologySpreadConstraints`.
    pub topology_spread_constraints: Option<Vec<TopologySpreadConstraint>>,
    /// See `spec.gateway.priorityClassName`.
    pub priority_class_name: Option<String>,
    /// See `spec.gateway.resources`.
    pub resources: Option<ResourceRequirements>,
    /// See `spec.gateway.podMonitor`.
    pub pod_monitor: Option<PodMonitorSpec>,
    /// Settings of sidecars.
    pub sidecar: SidecarDefaults,
    /// Prices that differ from AWS's public prices; see `spec.prices`.
    pub prices: PricesSpec,
    /// Proxy for requests to AWS.
    pub proxy: ProxySettings,
}

/// Defaults for sidecars.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SidecarDefaults {
    /// See `spec.sidecar.resources`.
    pub resources: Option<ResourceRequirements>,
}

/// Proxy of gateway pods and sidecars for requests to AWS. A `BedrockAccess` cannot change it: its author must not be able
/// to send requests elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct ProxySettings {
    /// Value of `HTTPS_PROXY`.
    pub https_proxy: Option<String>,
    /// Value of `HTTP_PROXY`, for endpoints without TLS.
    pub http_proxy: Option<String>,
    /// Value of `NO_PROXY`.
    pub no_proxy: Option<String>,
}

/// Why the defaults cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GatewayDefaultsError {
    /// The file cannot be read.
    #[error("failed to read the file")]
    Read(#[source] io::Error),
    /// The document is not YAML, or a field has the wrong name or type.
    #[error("failed to parse the document")]
    Parse(#[source] serde_yaml::Error),
    /// A field has a value that gateways could not use.
    #[error("{field}: {message}")]
    Invalid {
        /// Path of the field.
        field: String,
        /// What is wrong and how to fix it.
        message: String,
    },
}

impl GatewayDefaults {
    /// Reads the document in a file.
    ///
    /// # Errors
    /// See [`GatewayDefaultsError`].
    pub fn read(path: &Path) -> Result<Self, GatewayDefaultsError> {
        Self::from_yaml(&fs::read_to_string(path).map_err(GatewayDefaultsError::Read)?)
    }

    /// Parses a document in YAML or JSON.
    ///
    /// # Errors
    /// See [`GatewayDefaultsError`].
    pub fn from_yaml(text: &str) -> Result<Self, GatewayDefaultsError> {
        let document: Option<Value> =
            serde_yaml::from_str(text).map_err(GatewayDefaultsError::Parse)?;
        let Some(document) = document else {
            return Ok(Self::default());
        };
        // From the text: a number such as `cpu: 1` then becomes a string, and errors contain the path of the field.
        let defaults: Self = serde_yaml::from_str(text).map_err(GatewayDefaultsError::Parse)?;
        check::check(&defaults, &document)?;
        Ok(defaults)
    }

    /// The prices for an object; `None` if they are AWS's public prices.
    pub(crate) fn prices(&self, spec: &BedrockAccessSpec) -> Option<config::Prices> {
        let own = spec.prices.as_ref();
        let prices = own.map_or_else(|| self.prices.clone(), |own| own.over(&self.prices));
        (!prices.is_empty()).then(|| (&prices).into())
    }

    /// The settings of the gateway pods of an object.
    pub(crate) fn gateway(&self, spec: &BedrockAccessSpec) -> GatewaySpec {
        let own = spec.gateway.clone();
        let mut pod_labels = merged(&self.pod_labels, &own.pod_labels);
        // Common labels are values of the object, too.
        pod_labels.retain(|key, _| {
            own.pod_labels.contains_key(key) || !spec.common_labels.contains_key(key)
        });
        GatewaySpec {
            pod_labels,
            pod_annotations: merged(&self.pod_annotations, &own.pod_annotations),
            node_selector: merged(&self.node_selector, &own.node_selector),
            image_pull_secrets: replaced(&self.image_pull_secrets, own.image_pull_secrets),
            tolerations: replaced(&self.tolerations, own.tolerations),
            topology_spread_constraints: own
                .topology_spread_constraints
                .or_else(|| self.topology_spread_constraints.clone()),
            priority_class_name: own
                .priority_class_name
                .or_else(|| self.priority_class_name.clone()),
            resources: own.resources.or_else(|| self.resources.clone()),
            pod_monitor: monitor(self.pod_monitor.as_ref(), own.pod_monitor),
            ..own
        }
    }
}

fn merged(
    defaults: &BTreeMap<String, String>,
    own: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let mut map = defaults.clone();
    map.extend(own.clone());
    map
}

/// An empty list in a `BedrockAccess` is the same as none.
fn replaced<T: Clone>(defaults: &[T], own: Vec<T>) -> Vec<T> {
    if own.is_empty() {
        defaults.to_vec()
    } else {
        own
    }
}

fn monitor(
    defaults: Option<&PodMonitorSpec>,
    own: Option<PodMonitorSpec>,
) -> Option<PodMonitorSpec> {
    match (defaults, own) {
        (Some(defaults), Some(own)) => Some(PodMonitorSpec {
            labels: merged(&defaults.labels, &own.labels),
            interval: own.interval.or_else(|| defaults.interval.clone()),
        }),
        (defaults, own) => own.or_else(|| defaults.cloned()),
    }
}

#[cfg(test)]
mod tests;
