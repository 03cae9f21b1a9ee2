//! How Prometheus finds the gateway pods.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A PodMonitor of the Prometheus operator, by which Prometheus finds the gateway pods' metrics.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// Labels of the PodMonitor besides the operator's own, such as the one your Prometheus selects by.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not hold bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Time between two scrapes, such as 30s; left out, Prometheus's own.
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}
