//! Rate limits, size limits and timeouts of a gateway.
//!
//! No limit is a budget in money; see `docs/decisions/0019-limits.md`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config;

/// Rate limits. A limit that is not set does not apply.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RatesSpec {
    /// Maximum number of requests in a sliding window of 60 seconds. The gateway rejects further requests with status
    /// 429.
    #[schemars(range(min = 1, max = 1_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Maximum number of input tokens (including cached tokens) and output tokens in a sliding window of 60 seconds. The
    /// gateway adds the tokens that Bedrock reports at the end of each response, and rejects requests with status 429
    /// while the sum is at the limit.
    #[schemars(range(min = 1, max = 1_000_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Maximum number of requests in progress, counted separately in each gateway pod and each sidecar. The gateway
    /// rejects further requests with status 429.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// Maximum number of tokens in a day, from midnight to midnight UTC. Tokens count as for tokensPerMinute.
    #[schemars(range(min = 1, max = 1_000_000_000_000_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

/// Rate limits shared by all clients, size limits and timeouts. A rate limit that is not set does not apply.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitsSpec {
    /// The limits themselves.
    #[serde(flatten)]
    pub rates: RatesSpec,
    /// Maximum number of requests in progress in each gateway pod and each sidecar, of all clients. The gateway rejects
    /// further requests with status 503. If not set, one request for each 128 KiB of the memory limit of its container.
    #[schemars(range(min = 1, max = 100_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Maximum size of a request body in bytes. The gateway rejects larger requests with status 413. If not set, 32 MiB.
    /// The memory limit of the container may allow less.
    #[schemars(range(min = 1, max = 104_857_600))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body_bytes: Option<u64>,
    /// Maximum time in seconds until the first event of a response stream, for each target but the last one. After it, the
    /// gateway sends the request to the next target. 0 means no limit. Default: 120.
    #[schemars(range(min = 0, max = 3600))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_token_seconds: Option<u64>,
    /// Maximum time in seconds between two events of a response stream. After it, the stream ends with an error. Default:
    /// 600.
    #[schemars(range(min = 1, max = 3600))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_idle_seconds: Option<u64>,
    /// Maximum time in seconds of a whole response. After it, a request fails and a stream ends with an error. If not set,
    /// an hour until Bedrock responds, and no limit for a stream.
    #[schemars(range(min = 1, max = 86_400))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
    /// Store in which the gateway pods count requests and tokens together. If not set, each pod counts separately.
    /// Sidecars always count separately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<StoreSpec>,
}

/// Store in which gateway pods count together.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StoreSpec {
    /// A Redis or Valkey server. While it is unavailable, each gateway pod counts separately.
    pub redis: RedisStoreSpec,
}

/// A Redis or Valkey server.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RedisStoreSpec {
    /// URL of the server, such as redis://valkey.team-a.svc:6379, or rediss://cache.example:6379/0 with TLS. Redis
    /// Cluster is not supported.
    #[schemars(length(min = 1, max = 512))]
    #[x_kube(
        validation = Rule::new("isURL(self) && (self.startsWith('redis://') || self.startsWith('rediss://'))").message("must be a URL that starts with redis:// or rediss://"),
        validation = Rule::new("!self.contains('@')").message("must not contain a user name or password: store them in a Secret and set secretName")
    )]
    pub url: String,
    /// Secret with credentials for the server. All keys are optional: username and password; ca.crt for a private
    /// certificate authority; tls.crt and tls.key for a client certificate.
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
