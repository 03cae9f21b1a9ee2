//! `clients`: who can call the gateway.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Budget, Rates, is_false};

/// Clients that can call the gateway, and how they authenticate.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Clients {
    /// Admit every client that can connect, without authentication.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anonymous: bool,
    /// Directory with one file per client: the file name is the name of the client, and the content is its API key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_keys_directory: Option<String>,
    /// Rate limits of each API key, counted separately for each key.
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    pub api_key_limits: Rates,
    /// Budgets of each API key, counted separately for each key. They require `limits.store`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub api_key_budgets: Vec<Budget>,
    /// Clients that authenticate with a Kubernetes ServiceAccount token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_accounts: Option<ServiceAccountClients>,
}

/// Clients that authenticate with a Kubernetes ServiceAccount token. The gateway verifies tokens with the public keys that
/// the operator copies from `/openid/v1/jwks`, and never calls the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountClients {
    /// Required `iss` of tokens: the token issuer of the cluster.
    pub issuer: String,
    /// Required `aud` of tokens, such as `bedrockaccess.dev/team-a/chat`.
    pub audience: String,
    /// Public signing keys of the cluster: a JSON Web Key Set (RFC 7517).
    pub jwks: Value,
    /// ServiceAccounts that can call the gateway.
    pub subjects: Vec<ServiceAccountSubject>,
}

/// A ServiceAccount that can call the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServiceAccountSubject {
    /// Namespace of the ServiceAccount.
    pub namespace: String,
    /// Name of the ServiceAccount.
    pub name: String,
    /// Names of models that this client can call. If empty, all models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// Rate limits of this client.
    #[serde(default, skip_serializing_if = "Rates::is_empty")]
    pub limits: Rates,
    /// Budgets of this client. They require `limits.store` or `limits.shares`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
}

impl ServiceAccountSubject {
    /// The name of the client in metrics, logs and budgets.
    pub fn client_name(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

impl Clients {
    /// Whether every client must authenticate.
    pub fn authenticate(&self) -> bool {
        !self.anonymous && (self.api_keys_directory.is_some() || self.service_accounts.is_some())
    }
}
