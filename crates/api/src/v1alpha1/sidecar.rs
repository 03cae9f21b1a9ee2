//! Gateway sidecars in other pods of the namespace.

use k8s_openapi::api::core::v1::ResourceRequirements;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::gateway::requirements;
use crate::names;

/// Settings of gateway sidecars in pods whose label bedrockaccess.dev/inject is the name of this BedrockAccess.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("(has(self.port) ? self.port : 8000) != (has(self.adminPort) ? self.adminPort : 9090)").message("port and adminPort must differ (defaults: 8000 and 9090): both are opened in the same pod")
)]
#[serde(rename_all = "camelCase")]
pub struct SidecarSpec {
    /// ServiceAccounts whose pods can have the sidecar. The sidecar uses the ServiceAccount of its pod as AWS identity,
    /// so the role must trust each of them; status.trustPolicy is a suitable trust policy.
    #[schemars(length(min = 1, max = 32), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub service_accounts: Vec<SidecarServiceAccountSpec>,
    /// CPU and memory of each sidecar. Default: requests of 10m CPU and 32Mi memory, and a limit of 256Mi memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Port of the API on 127.0.0.1. Default: 8000.
    #[schemars(range(min = 1024, max = 65_535))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Port of health, readiness and metrics on the address of the pod. Default: 9090.
    #[schemars(range(min = 1024, max = 65_535))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_port: Option<i32>,
    /// Serve the API on a Unix socket as well. All containers of the pod mount its volume, and the environment variable
    /// BEDROCK_GATEWAY_SOCKET contains its path. Default: false.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub socket: bool,
}

/// A ServiceAccount whose pods can have the sidecar.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarServiceAccountSpec {
    /// Name of the ServiceAccount in the namespace of the BedrockAccess.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
}

impl SidecarSpec {
    /// CPU and memory, with the default applied. A sidecar serves one pod, so it requests less than a gateway pod. No
    /// CPU limit, because throttling adds latency.
    pub fn resources(&self) -> ResourceRequirements {
        self.resources
            .clone()
            .unwrap_or_else(|| requirements([("cpu", "10m"), ("memory", "32Mi")], "256Mi"))
    }

    /// Port of the API, with the default applied.
    pub fn port(&self) -> i32 {
        self.port.unwrap_or_else(|| names::GATEWAY_PORT.into())
    }

    /// Port of health, readiness and metrics, with the default applied.
    pub fn admin_port(&self) -> i32 {
        self.admin_port
            .unwrap_or_else(|| names::GATEWAY_ADMIN_PORT.into())
    }
}
