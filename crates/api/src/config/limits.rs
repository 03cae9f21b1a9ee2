//! Part of the configuration document: sizes, times, and how much may be asked for in a time.
//!
//! What is counted how, and where, is the gateway's business; see `docs/decisions/0019-limits.md`.

use serde::{Deserialize, Serialize};

/// Largest request body in bytes where nothing else is said: 32 MiB, above what Bedrock takes (25 MB).
pub const DEFAULT_MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;
/// How long a draining gateway waits for open streams where nothing else is said, in seconds.
pub const DEFAULT_DRAIN_SECONDS: u64 = 50;
/// How long an upstream stream may be silent where nothing else is said, in seconds.
pub const DEFAULT_STREAM_IDLE_SECONDS: u64 = 600;
/// How long a request to Bedrock may wait for its response headers where nothing else is said, in seconds.
pub const DEFAULT_UPSTREAM_SECONDS: u64 = 3600;

/// Sizes in bytes, times in seconds, and what all clients together may ask for in a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Limits {
    /// Larger request bodies get 413.
    pub max_body_bytes: u64,
    /// How long open requests may take to end after SIGTERM.
    pub drain_seconds: u64,
    /// An upstream stream silent for longer is ended with an error.
    pub stream_idle_seconds: u64,
    /// Longest wait for the headers of Bedrock's response.
    pub upstream_seconds: u64,
    /// Requests in flight at once; more get 503 with `Retry-After`. 0: no limit.
    pub max_in_flight: u32,
    /// As [`Rates::requests_per_minute`], of all clients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// As [`Rates::tokens_per_minute`], of all clients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// As [`Rates::concurrent_requests`], of all clients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// As [`Rates::tokens_per_day`], of all clients together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
    /// Where requests and tokens are counted together with other gateways; absent: here alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<Store>,
}

/// Where gateways count together.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Store {
    /// A server of Redis or Valkey.
    pub redis: RedisStore,
}

/// A server of Redis or Valkey, a single one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RedisStore {
    /// `redis://HOST:PORT/DATABASE`, or `rediss://…` with TLS.
    pub url: String,
    /// Folder with what the server asks for, each file where it is needed: `password` and `username`, `ca.crt` for a
    /// certificate of an authority of one's own, `tls.crt` and `tls.key` for a server that asks for a client's; read
    /// at each connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_directory: Option<String>,
}

/// How much may be asked for in a time; what is left out is not limited. Windows of a minute slide, a day is
/// one of UTC. Tokens are those of prompts and answers, once Bedrock has counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rates {
    /// Requests in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Tokens in any 60 seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Requests whose answer is not finished, in this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrent_requests: Option<u64>,
    /// Tokens of a day, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens_per_day: Option<u64>,
}

impl Rates {
    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each limit by the name of its field.
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
    /// What all clients together may ask for in a time.
    pub fn rates(&self) -> Rates {
        Rates {
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            concurrent_requests: self.concurrent_requests,
            tokens_per_day: self.tokens_per_day,
        }
    }

    /// The same, but with these rates.
    #[must_use]
    pub fn with_rates(self, rates: Rates) -> Self {
        let Rates {
            requests_per_minute,
            tokens_per_minute,
            concurrent_requests,
            tokens_per_day,
        } = rates;
        Self {
            requests_per_minute,
            tokens_per_minute,
            concurrent_requests,
            tokens_per_day,
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body_bytes: DEFAULT_MAX_BODY_BYTES,
            drain_seconds: DEFAULT_DRAIN_SECONDS,
            stream_idle_seconds: DEFAULT_STREAM_IDLE_SECONDS,
            upstream_seconds: DEFAULT_UPSTREAM_SECONDS,
            max_in_flight: 0,
            requests_per_minute: None,
            tokens_per_minute: None,
            concurrent_requests: None,
            tokens_per_day: None,
            store: None,
        }
    }
}
