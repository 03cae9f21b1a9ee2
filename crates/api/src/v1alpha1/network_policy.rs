//! Network access to the gateway pods.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The NetworkPolicy of the gateway pods. It takes effect only if the network plugin of the cluster enforces policies.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.enabled || !has(self.from)").message("from has no effect if enabled is false: remove one of them")
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Create a NetworkPolicy. Ingress: the API port for clients, and the admin port for health and metrics. Egress:
    /// DNS, HTTPS, spec.endpoints, the store in spec.limits, and the services that spec.identity requires.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Peers that can connect to the API port. If not set: the namespaces in clients.serviceAccounts, or all peers if
    /// clients.apiKeys or clients.anonymous is set.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Vec<NetworkPolicyPeer>>,
}

impl Default for NetworkPolicySpec {
    fn default() -> Self {
        Self {
            enabled: true,
            from: None,
        }
    }
}

fn yes() -> bool {
    true
}
