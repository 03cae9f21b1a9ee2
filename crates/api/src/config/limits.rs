//! Limits in the configuration document: size limits, timeouts and rate limits.
//!
//! The gateway counts requests and tokens; see `docs/decisions/0019-limits.md`.

use serde::{Deserialize, Serialize};

use super::budgets::Budget;

/// Default of `maxBodyBytes`: 32 MiB, more than the 25 MB that Bedrock accepts.
pub const DEFAULT_MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;
/// Default of `drainSeconds`.
pub const DEFAULT_DRAIN_SECONDS: u64 = 50;
/// Default of `streamIdleSeconds`.
pub const DEFAULT_STREAM_IDLE_SECONDS: u64 = 600;
/// Default of `upstreamSeconds`.
pub const DEFAULT_UPSTREAM_SECONDS: u64 = 3600;

/// Default of `firstTokenSeconds`: longer than Bedrock takes to read the longest prompts.
pub(super) const DEFAULT_FIRST_TOKEN_SECONDS: u64 = 120;
/// Default of `keepAliveSeconds`: longer than the 60 seconds after which load balancers close idle connections.
pub(super) const DEFAULT_KEEP_ALIVE_SECONDS: u64 = 75;

/// Size limits in bytes, timeouts in seconds, and rate limits shared by all clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Maximum size of a request body in bytes. The gateway rejects larger requests with status 413.
    pub max_body_bytes: u64,
    /// Maximum time in seconds that open requests continue after SIGTERM.
    pub drain_seconds: u64,
    /// Maximum time in seconds between two events of a response stream. After it, the stream ends with an error.
    pub stream_idle_seconds: u64,
    /// Timeout in seconds for the response headers of Bedrock.
    pub upstream_seconds: u64,
    /// Maximum time in seconds until the first event of a response stream, for each target but the last one. After it, the
    /// request is sent to the next target. 0 means no limit.
    #[serde(skip_serializing_if = "is_default_first_token")]
    pub first_token_seconds: u64,
    /// Maximum time in seconds of a whole response. After it, a stream ends with an error. If absent, no limit besides
    /// the others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_seconds: Option<u64>,
    /// Maximum time in seconds that an HTTP/1.1 connection is idle between two requests, including the headers of the
    /// second one. It must be longer than the idle timeout of a load balancer in front, which is often 60 seconds.
    #[serde(skip_serializing_if = "is_default_keep_alive")]
    pub keep_alive_seconds: u64,
    /// Maximum number of requests in progress. The gateway rejects further requests with status 503 and `Retry-After`.
    /// 0 means no limit. If absent, the gateway allows one request for each 128 KiB of its memory limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Same as [`Rates::requests_per_minute`], shared by all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Same as [`Rates::tokens_per_minute`], shared by all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Same as [`Rates::concurrent_requests`], shared by all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// Same as [`Rates::tokens_per_day`], shared by all clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Budgets shared by all clients. They require `store` or `shares`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub budgets: Vec<Budget>,
    /// Budgets without a store: the operator sends a share to each gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shares: Option<Shares>,
    /// Store in which several gateways count together. If absent, each gateway counts separately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde expects"
)]
fn is_default_keep_alive(seconds: &u64) -> bool {
    *seconds == DEFAULT_KEEP_ALIVE_SECONDS
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature that serde expects"
)]
fn is_default_first_token(seconds: &u64) -> bool {
    *seconds == DEFAULT_FIRST_TOKEN_SECONDS
}

/// Store in which several gateways count together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Store {
    /// A Redis or Valkey server.
    pub redis: RedisStore,
}

/// A Redis or Valkey server. Redis Cluster is not supported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisStore {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://HOST:PORT/DATABASE` with TLS.
    pub url: String,
    /// Directory with credentials for the server, which the gateway reads for each connection. All files are optional:
    /// `username` and `password`; `ca.crt` for a private certificate authority; `tls.crt` and `tls.key` for a client
    /// certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_directory: Option<String>,
}

/// Rate limits. A limit that is absent does not apply. Tokens are the input and output tokens that Bedrock reports at the
/// end of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rates {
    /// Maximum number of requests in a sliding window of 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Maximum number of tokens in a sliding window of 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Maximum number of requests in progress in this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// Maximum number of tokens in a day, from midnight to midnight UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

impl Rates {
    /// Whether no limit is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All limits, each with the name of its field.
    pub fn all(&self) -> [(&'static str, Option<u64>); 4] {
        [
            ("requestsPerMinute", self.requests_per_minute),
            ("tokensPerMinute", self.tokens_per_minute),
            ("concurrentRequests", self.concurrent_requests),
            ("tokensPerDay", self.tokens_per_day),
        ]
    }
}

impl Limits {
    /// The rate limits shared by all clients.
    pub fn rates(&self) -> Rates {
        Rates {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrent_requests: self.concurrent_requests,
            tokens_per_day: self.tokens_per_day,
        }
    }

    /// The same limits with other rate limits.
    #[must_use]
    pub fn with_rates(self, rates: Rates) -> Self {
        Self {
            requests_per_minute: rates.requests_per_minute,
            tokens_per_minute: rates.tokens_per_minute,
            concurrent_requests: rates.concurrent_requests,
            tokens_per_day: rates.tokens_per_day,
            ..self
        }
    }
}

/// Shares of budgets that the operator sends to the admin port of gateways.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Shares {
    /// Ed25519 public key of the operator, in hexadecimal.
    pub public_key: String,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            drain_seconds: DEFAULT_DRAIN_SECONDS,
            stream_idle_seconds: DEFAULT_STREAM_IDLE_SECONDS,
            upstream_seconds: DEFAULT_UPSTREAM_SECONDS,
            first_token_seconds: DEFAULT_FIRST_TOKEN_SECONDS,
            total_seconds: None,
            keep_alive_seconds: DEFAULT_KEEP_ALIVE_SECONDS,
            max_in_flight: None,
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent_requests: None,
            tokens_per_day: None,
            budgets: Vec::new(),
            shares: None,
            store: None,
        }
    }
}
