//! What the operator reports about an access.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// What the operator reports.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BedrockAccessStatus {
    /// The metadata.generation that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Base URL for clients inside the cluster; OpenAI clients append /v1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// ServiceAccount the gateway runs as.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_name: Option<String>,
    /// IAM role of the web identity; with another identity, the last role of assumeRoles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_arn: Option<String>,
    /// Audience that a client's ServiceAccount token must carry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Gateway pods that are ready; not set where there are to be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_replicas: Option<i32>,
    /// Pods of the team that ask for the sidecar; not set where spec.sidecar is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sidecars: Option<SidecarsStatus>,
    /// Trust policy that the role needs, as JSON to paste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trust_policy: Option<String>,
    /// Least permission policy that the role needs, as JSON to paste.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission_policy: Option<String>,
    /// Ready, Reconciling, Stalled, GatewayAvailable and CredentialsReady; where they are asked for also
    /// TargetRolesReady, SidecarsUpToDate and Monitored; Accepted where policies exist.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// How the sidecars are, counted over running pods.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SidecarsStatus {
    /// Pods with a sidecar.
    pub total: i32,
    /// Sidecars that are ready: they hold AWS credentials.
    pub ready: i32,
    /// Sidecars that were injected with another image, identity or setting than pods get now; they run on as they are until their pods are replaced.
    pub outdated: i32,
    /// Pods that wear the label and have no sidecar, since they were made before the label or where the webhook does not look.
    pub missing: i32,
}
