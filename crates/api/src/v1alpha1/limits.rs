//! How much may be asked of a gateway in a time.
//!
//! Prices are not known here, so there is no budget in money; see `docs/decisions/0019-limits.md`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config;

/// How much may be asked for in a time; what is left out is not limited.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RatesSpec {
    /// Requests in any 60 seconds, by a sliding window; more get 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens in any 60 seconds, by a sliding window, of prompts (cached or not) and answers, as Bedrock counts them once an answer has ended; while that many are used, requests get 429.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests whose answer is not finished, in each gateway pod and each sidecar by itself; more get 429.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// Tokens of a day from midnight to midnight UTC, counted as for tokensPerMinute.
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

/// How much may be asked of an access in a time, by all its clients together; what is left out is not limited.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// Those of all clients together.
    #[serde(flatten)]
    pub rates: RatesSpec,
    /// Where gateway pods count requests and tokens together; left out, each counts by itself. Sidecars always do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
}

/// Where gateway pods count together.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// A server of Redis or Valkey. While it does not answer, each gateway pod counts by itself.
    pub redis: RedisStoreSpec,
}

/// A server of Redis or Valkey.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisStoreSpec {
    /// Its address, such as redis://valkey.team-a.svc:6379 or, with TLS, rediss://cache.example:6379/0. Not one of a cluster of several servers that share out the keys.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("isURL(self) && (self.startsWith('redis://') || self.startsWith('rediss://'))").message("must be a URL that begins with redis:// or rediss://"),
        validation = Rule::new("!self.contains('@')").message("must not hold a user or a password: put them into a Secret and name it in secretName")
    )]
    pub url: String,
    /// Secret with what the server asks for, each key where it is needed: password and username, ca.crt for a certificate
    /// of an authority of one's own, tls.crt and tls.key for a server that asks for a client's.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
}

impl From<&RatesSpec> for config::Rates {
    fn from(spec: &RatesSpec) -> Self {
        Self {
            requests_per_minute: spec.requests_per_minute,
            tokens_per_minute: spec.tokens_per_minute,
            concurrent_requests: spec.concurrent_requests,
            tokens_per_day: spec.tokens_per_day,
        }
    }
}
