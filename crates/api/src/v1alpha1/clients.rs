//! Who may call a gateway.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::limits::RatesSpec;

/// Who may call the gateway, and how they prove who they are.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!self.anonymous || (!has(self.apiKeys) && self.serviceAccounts.size() == 0)").message("anonymous lets everybody in, so serviceAccounts and apiKeys must not be set beside it")
)]
#[serde(rename_all = "camelCase")]
pub struct ClientsSpec {
    /// Kubernetes ServiceAccounts that may call; their pods present a token whose audience is status.audience.
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default)]
    pub service_accounts: Vec<ServiceAccountClientSpec>,
    /// Clients that present an API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<ApiKeysSpec>,
    /// Let in everybody who reaches the port, without any proof.
    #[serde(default)]
    pub anonymous: bool,
}

/// A ServiceAccount that may call.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountClientSpec {
    /// Namespace of the ServiceAccount; left out, it is that of the access.
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
    /// Names of spec.models that it may ask for; left out or empty, all of them.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    #[serde(default)]
    pub models: Vec<String>,
    /// How much it may ask for in a time; the limits of the access hold, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RatesSpec>,
}

/// API keys from a Secret in the namespace of the access.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ApiKeysSpec {
    /// Name of the Secret: each of its keys is the name of a client, and the value its API key.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    pub secret_name: String,
    /// How much the client of each key may ask for in a time, each by itself; the limits of the access hold, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RatesSpec>,
}
