//! Discovery of the gateway's metrics by Prometheus.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// A PodMonitor of the Prometheus operator for the metrics of the gateway pods.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodMonitorSpec {
    /// Additional labels of the PodMonitor, such as the label that your Prometheus selects.
    #[schemars(extend("maxProperties" = 32))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('bedrockaccess.dev/') && !key.startsWith('app.kubernetes.io/'))").message("must not contain bedrockaccess.dev/ or app.kubernetes.io/ labels: the operator sets them"))]
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Interval between scrapes, such as 30s. Default: the interval that Prometheus is configured with.
    #[schemars(length(min = 2, max = 16), regex(pattern = r"^([0-9]+(ms|s|m|h))+$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
}
