//! Prometheus metrics: OpenTelemetry's GenAI names where one exists, the prefix `bedrock_gateway` for the rest.
//!
//! Label values are configured names, never arbitrary text of a client, so their number is bounded.
//! Names: <https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-metrics/>.

/// Registers metrics, each with its name and help text.
macro_rules! register {
    ($registry:expr, $metrics:expr, $($metric:ident: $name:literal, $help:literal;)*) => {
        $($registry.register($name, $help, $metrics.$metric.clone());)*
    };
}

/// Registers metrics in seconds.
macro_rules! register_seconds {
    ($registry:expr, $metrics:expr, $($metric:ident: $name:literal, $help:literal;)*) => {
        $($registry.register_with_unit($name, $help, Unit::Seconds, $metrics.$metric.clone());)*
    };
}

mod roles;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bedrock::converse::TokenUsage;
use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::{Registry, Unit},
};

use crate::http::over_limit::OverLimit;
use roles::RoleMetrics;

use super::logging::writer;

/// OpenTelemetry's name of Bedrock.
pub(crate) const PROVIDER: &str = "aws.bedrock";
/// Labels of the rate-limit store.
const LIMIT_STORE: [(&str, &str); 1] = [("store", "redis")];

/// Labels of all per-request metrics.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct CallLabels {
    gen_ai_operation_name: &'static str,
    gen_ai_provider_name: &'static str,
    /// Configured alias or model id.
    gen_ai_request_model: String,
    client: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    #[prometheus(flatten)]
    call: CallLabels,
    /// Empty after success.
    error_type: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    #[prometheus(flatten)]
    call: CallLabels,
    gen_ai_token_type: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HttpLabels {
    route: &'static str,
    status: u16,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FieldLabels {
    route: &'static str,
    /// Name in the field tables, or `other`.
    field: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabels {
    limit: &'static str,
    /// `access` or `client`.
    scope: &'static str,
    client: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    region: String,
    result: String,
}

type HistogramFamily<L> = Family<L, Histogram, fn() -> Histogram>;

/// All metrics of a gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    durations: HistogramFamily<DurationLabels>,
    first_tokens: HistogramFamily<CallLabels>,
    tokens: HistogramFamily<TokenLabels>,
    requests: Family<HttpLabels, Counter>,
    dropped_fields: Family<FieldLabels, Counter>,
    over_limits: Family<LimitLabels, Counter>,
    /// Without a value if no store is configured.
    limit_store_up: Family<[(&'static str, &'static str); 1], Gauge>,
    limit_store_fallbacks: Counter,
    in_flight: Gauge,
    attempts: Family<AttemptLabels, Counter>,
    reloads: Family<ResultLabel, Counter>,
    reload_successful: Gauge,
    credentials_expiry: Gauge<f64, AtomicU64>,
    credentials_age: Gauge<f64, AtomicU64>,
    credentials_ready: Gauge,
    refreshes: Family<ResultLabel, Counter>,
    forced_refreshes: Counter,
    roles: RoleMetrics,
}

impl Metrics {
    pub(crate) fn new() -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            durations: Family::new_with_constructor(seconds),
            first_tokens: Family::new_with_constructor(seconds),
            tokens: Family::new_with_constructor(tokens),
            requests: Family::default(),
            dropped_fields: Family::default(),
            over_limits: Family::default(),
            limit_store_up: Family::default(),
            limit_store_fallbacks: Counter::default(),
            in_flight: Gauge::default(),
            attempts: Family::default(),
            reloads: Family::default(),
            reload_successful: Gauge::default(),
            credentials_expiry: Gauge::default(),
            credentials_age: Gauge::default(),
            credentials_ready: Gauge::default(),
            refreshes: Family::default(),
            forced_refreshes: Counter::default(),
            roles: RoleMetrics::default(),
        };
        metrics.register();
        metrics.reload_successful.set(1);
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        register_seconds! { registry, self,
            durations: "gen_ai_server_request_duration",
                "Time from the arrival of a request to the last byte of its response";
            first_tokens: "gen_ai_server_time_to_first_token",
                "Time from the arrival of a request to the first byte of its streamed response";
        }
        register! { registry, self,
            tokens: "gen_ai_client_token_usage",
                "Tokens of a call as counted by Bedrock";
            requests: "bedrock_gateway_requests",
                "Requests by route, HTTP status and error reason";
            dropped_fields: "bedrock_gateway_dropped_fields",
                "Request fields that were dropped with a warning, by route and field";
            over_limits: "bedrock_gateway_limit_refusals",
                "Requests rejected by a rate limit, by limit, scope and client";
            limit_store_up: "bedrock_gateway_limit_store_up",
                "1 if the rate-limit store is available, 0 while local counters are used";
            limit_store_fallbacks: "bedrock_gateway_limit_store_fallbacks",
                "Requests limited by local counters because the store was unavailable";
            in_flight: "bedrock_gateway_in_flight_requests",
                "Requests in progress";
            attempts: "bedrock_gateway_upstream_attempts",
                "Calls to Bedrock including retries, by region and result";
            reloads: "bedrock_gateway_config_reloads",
                "Configuration reloads by result";
            reload_successful: "bedrock_gateway_config_last_reload_successful",
                "1 if the last configuration reload succeeded, 0 if it failed";
        }
        register_seconds! { registry, self,
            credentials_expiry: "bedrock_gateway_credentials_expiry",
                "Time until the AWS credentials expire, negative afterwards; +Inf if they do not expire";
            credentials_age: "bedrock_gateway_credentials_age",
                "Age of the AWS credentials";
        }
        register! { registry, self,
            credentials_ready: "bedrock_gateway_credentials_ready",
                "1 if AWS credentials are available and AWS accepts them";
            refreshes: "bedrock_gateway_credentials_refreshes",
                "Refreshes of AWS credentials by result";
            forced_refreshes: "bedrock_gateway_credentials_forced_refreshes",
                "Refreshes after AWS rejected the credentials";
        }
        self.roles.register(registry);
        registry.register(
            "bedrock_gateway_log_lines_dropped",
            "Log lines dropped because standard error was not read in time",
            writer::dropped().clone(),
        );
        registry.register(
            "bedrock_gateway_build",
            "Version of the gateway",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
    }

    /// Counts a finished request.
    pub(crate) fn request(&self, route: &'static str, status: u16, reason: &str) {
        self.requests
            .get_or_create(&HttpLabels {
                route,
                status,
                reason: reason.to_owned(),
            })
            .inc();
    }

    /// Counts a field that was dropped with a warning.
    pub(crate) fn dropped_field(&self, route: &'static str, field: &'static str) {
        let labels = FieldLabels { route, field };
        self.dropped_fields.get_or_create(&labels).inc();
    }

    /// Counts a request that a rate limit rejected.
    pub(crate) fn over_limit(&self, over: &OverLimit, client: &str) {
        self.over_limits
            .get_or_create(&LimitLabels {
                limit: over.kind.field(),
                scope: over.subject.scope(),
                client: client.to_owned(),
            })
            .inc();
    }

    /// Counts a request that was limited without the store.
    pub(crate) fn limit_store_fallback(&self) {
        self.limit_store_fallbacks.inc();
    }

    /// Records the duration of a model request; `error_type` is empty after success.
    pub(crate) fn call(&self, labels: &CallLabels, took: Duration, error_type: &str) {
        self.durations
            .get_or_create(&DurationLabels {
                call: labels.clone(),
                error_type: error_type.to_owned(),
            })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn first_token(&self, labels: &CallLabels, took: Duration) {
        self.first_tokens
            .get_or_create(labels)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn tokens(&self, labels: &CallLabels, usage: &TokenUsage) {
        for (kind, count) in [
            ("input", usage.prompt_tokens()),
            ("output", usage.output_tokens),
            ("input_cache_read", usage.cache_read_input_tokens),
            ("input_cache_write", usage.cache_write_input_tokens),
        ] {
            // Cache tokens are part of the input; most calls have none.
            if count == 0 && kind.starts_with("input_") {
                continue;
            }
            self.tokens
                .get_or_create(&TokenLabels {
                    call: labels.clone(),
                    gen_ai_token_type: kind,
                })
                .observe(as_f64(count));
        }
    }

    /// Counts a call to Bedrock.
    pub(crate) fn attempt(&self, region: &str, result: &str) {
        self.attempts
            .get_or_create(&AttemptLabels {
                region: region.to_owned(),
                result: result.to_owned(),
            })
            .inc();
    }

    pub(crate) fn config_reloaded(&self, successful: bool) {
        let result = if successful { "success" } else { "refused" };
        self.reloads
            .get_or_create(&ResultLabel {
                result: result.to_owned(),
            })
            .inc();
        self.reload_successful.set(i64::from(successful));
    }

    /// All metrics in the text format, with the current state of the credentials (also of the `roles` of targets), the
    /// requests in flight and the rate-limit store.
    pub(crate) fn render(
        &self,
        credentials: &credentials::Status,
        roles: &[credentials::Status],
        in_flight: u64,
        limit_store_up: Option<bool>,
    ) -> String {
        self.in_flight
            .set(i64::try_from(in_flight).unwrap_or(i64::MAX));
        self.limit_store_up.clear();
        if let Some(up) = limit_store_up {
            let gauge = self.limit_store_up.get_or_create(&LIMIT_STORE);
            gauge.set(i64::from(up));
        }
        self.credentials_expiry
            .set(credentials.seconds_to_expiry.unwrap_or(f64::INFINITY));
        if credentials.generation == 0 {
            self.credentials_expiry.set(0.0);
        }
        self.credentials_age
            .set(credentials.age_seconds.unwrap_or(0.0));
        self.credentials_ready
            .set(i64::from(credentials.is_usable()));
        for (result, count) in &credentials.refreshes_by_result {
            self.refreshes
                .get_or_create(&ResultLabel {
                    result: (*result).to_owned(),
                })
                .inner()
                .store(*count, Ordering::Relaxed);
        }
        self.forced_refreshes
            .inner()
            .store(credentials.forced_refreshes, Ordering::Relaxed);
        let _shown = self.roles.update(roles);
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl CallLabels {
    pub(crate) fn new(operation: &'static str, model: &str, client: &str) -> Self {
        Self {
            gen_ai_operation_name: operation,
            gen_ai_provider_name: PROVIDER,
            gen_ai_request_model: model.to_owned(),
            client: client.to_owned(),
        }
    }
}

/// A histogram with OpenTelemetry's buckets for durations of model calls: 10 ms to 82 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.01, 2.0, 14))
}

/// A histogram with OpenTelemetry's buckets for tokens of a call: 1 to 67,108,864.
fn tokens() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 14))
}

#[expect(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    reason = "a number of tokens is far below 2^52"
)]
fn as_f64(count: u64) -> f64 {
    count as f64
}
