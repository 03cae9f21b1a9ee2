//! Rate limits, size limits and timeouts of a gateway.
//!
//! See `docs/decisions/0019-limits.md` and `docs/decisions/0032-budgets.md`.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{
    budget::{OnStoreFailure, Period, UnknownTimeZone},
    config,
};

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
    /// Budgets in calendar periods. They cannot be combined with sidecar. Without limits.store, the operator gives each
    /// gateway pod a share, and budgets of API keys are not possible.
    #[schemars(length(max = 8))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<BudgetSpec>,
}

/// Maximum spend or tokens in a calendar period. Set exactly one of usd and tokens.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("has(self.usd) != has(self.tokens)").message("set exactly one of usd and tokens"),
    validation = Rule::new("!has(self.fallback) || !has(self.warnAt) || self.fallback.at >= self.warnAt").message("fallback.at must not be less than warnAt")
)]
#[serde(rename_all = "camelCase")]
pub struct BudgetSpec {
    /// Period after which the budget starts again: a day, a week that starts on Monday, or a calendar month.
    pub period: Period,
    /// Time zone of the period, a name of the IANA database such as Europe/Berlin. Default: UTC.
    #[schemars(length(min = 1, max = 64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
    /// Budget in US dollars. The gateway computes the cost of each request from the tokens that Bedrock reports and the
    /// price of the model. Models without a price are rejected.
    #[schemars(range(min = 1, max = 9_000_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<u64>,
    /// Budget in input tokens (including cached tokens) and output tokens.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_i64))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Percentage of the budget at which responses have a warning header and the gateway logs a warning.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warn_at: Option<u8>,
    /// Cheaper model for requests above a percentage of the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<BudgetFallbackSpec>,
    /// What the gateway does while limits.store is unavailable. Open admits requests that fit into the budget as far as the
    /// gateway pod knows it; Closed rejects them with status 503. Default: Open.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub on_store_failure: OnStoreFailure,
}

/// Cheaper model for requests above a percentage of a budget.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetFallbackSpec {
    /// Percentage of the budget.
    #[schemars(range(min = 1, max = 100))]
    pub at: u8,
    /// Name of the model in spec.models. Clients that cannot call it keep the model that they request.
    #[schemars(length(min = 1, max = 128))]
    pub model: String,
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

impl TryFrom<&BudgetSpec> for config::Budget {
    type Error = UnknownTimeZone;

    fn try_from(spec: &BudgetSpec) -> Result<Self, UnknownTimeZone> {
        let zone = spec.time_zone.as_deref();
        Ok(Self {
            period: spec.period,
            time_zone: zone.map(str::parse).transpose()?.unwrap_or_default(),
            usd: spec.usd,
            tokens: spec.tokens,
            warn_at: spec.warn_at,
            fallback: spec
                .fallback
                .as_ref()
                .map(|fallback| config::BudgetFallback {
                    at: fallback.at,
                    model: fallback.model.clone(),
                }),
            on_store_failure: spec.on_store_failure,
        })
    }
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
