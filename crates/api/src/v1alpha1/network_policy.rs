//! Who may reach the gateway pods over the network.

use k8s_openapi::api::networking::v1::NetworkPolicyPeer;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// The NetworkPolicy of the gateway pods. It takes effect where the cluster's network enforces policies.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.enabled || !has(self.from)").message("from has no effect while enabled is false: remove one of them")
)]
#[serde(rename_all = "camelCase")]
pub struct NetworkPolicySpec {
    /// Whether the operator makes a NetworkPolicy: in, the API port for clients and the port of health and metrics; out, DNS, HTTPS, spec.endpoints, and what spec.identity needs.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Who may reach the API port; left out, the namespaces in clients.serviceAccounts, and everybody where clients.apiKeys or clients.anonymous is set.
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
