//! The gateway as a sidecar in the team's own pods.

use k8s_openapi::{
    api::core::v1::ResourceRequirements, apimachinery::pkg::api::resource::Quantity,
};
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// The gateway as a sidecar in pods that wear the label bedrockaccess.dev/inject with the name of this access.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("self.port != self.adminPort").message("port and adminPort must differ: both are opened in the same pod")
)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// ServiceAccounts whose pods may have the sidecar. The pod's own ServiceAccount is the sidecar's AWS identity, so the role must trust each of them (status.trustPolicy is one that does).
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub service_accounts: Vec<SidecarServiceAccountSpec>,
    /// CPU and memory of the sidecar, in each pod.
    #[serde(default = "resources")]
    pub resources: ResourceRequirements,
    /// Port of the API, on 127.0.0.1 alone.
    #[schemars(range(min = 1024, max = 65_535))]
    #[serde(default = "port")]
    pub port: i32,
    /// Port of health, readiness and metrics, on the pod's address.
    #[schemars(range(min = 1024, max = 65_535))]
    #[serde(default = "admin_port")]
    pub admin_port: i32,
    /// Serve the API on a Unix socket, too, in a volume that all containers of the pod share: BEDROCK_GATEWAY_SOCKET tells them its path.
    #[serde(default)]
    pub socket: bool,
}

/// A ServiceAccount whose pods may have the sidecar.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarServiceAccountSpec {
    /// Name of the ServiceAccount, in the namespace of the access.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
}

/// A sidecar serves one pod, so it asks for less than a gateway; no CPU limit, since throttling would
/// show as latency.
fn resources() -> ResourceRequirements {
    let quantities = |pairs: &[(&str, &str)]| {
        Some(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), Quantity((*value).to_owned())))
                .collect(),
        )
    };
    ResourceRequirements {
        requests: quantities(&[("cpu", "10m"), ("memory", "32Mi")]),
        limits: quantities(&[("memory", "256Mi")]),
        claims: None,
    }
}

fn port() -> i32 {
    i32::from(names::GATEWAY_PORT)
}

fn admin_port() -> i32 {
    i32::from(names::GATEWAY_ADMIN_PORT)
}
