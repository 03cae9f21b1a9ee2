//! Clients that can call a gateway, and how they authenticate.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::limits::RatesSpec;

/// Clients that can call the gateway, and how they authenticate.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.anonymous) || !self.anonymous || (!has(self.apiKeys) && (!has(self.serviceAccounts) || self.serviceAccounts.size() == 0))").message("anonymous admits every client: remove serviceAccounts and apiKeys, or remove anonymous")
)]
#[serde(rename_all = "camelCase")]
pub struct ClientsSpec {
    /// Kubernetes ServiceAccounts that can call the gateway. Their pods send a ServiceAccount token with the audience
    /// in status.audience.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub service_accounts: Vec<ServiceAccountClientSpec>,
    /// API keys of clients that can call the gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeysSpec>,
    /// Admit every client that can connect, without authentication. Default: false.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub anonymous: bool,
}

/// A ServiceAccount that can call the gateway.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountClientSpec {
    /// Namespace of the ServiceAccount. Default: the namespace of the BedrockAccess.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Name of the ServiceAccount.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub name: String,
    /// Names in spec.models that this client can call. If empty, the client can call all models.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Rate limits of this client. The limits in spec.limits apply as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RatesSpec>,
}

/// API keys in a Secret in the namespace of the BedrockAccess.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeysSpec {
    /// Name of the Secret. Each key in its data is the name of a client, and the value is the API key of that client.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub secret_name: String,
    /// Rate limits of each API key, counted separately for each key. The limits in spec.limits apply as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RatesSpec>,
}
