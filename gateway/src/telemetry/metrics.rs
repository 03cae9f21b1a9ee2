//! Prometheus metrics: OpenTelemetry's GenAI names where one exists, the prefix `bedrock_gateway` for the rest.
//!
//! Label values are configured names, never arbitrary text of a client, so their number is bounded; a test in
//! `tests/it/metrics.rs` counts the series. A request finds its series without allocation (`interned`).
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

mod budgets;
mod calls;
mod conventions;
mod interned;
mod roles;
mod routing;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use api::config::AccessReference;
use exposition::{Format, Process};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};

pub(crate) use self::{
    budgets::{BudgetLabels, BudgetMetrics},
    calls::FinishedCall,
    conventions::Conventions,
    routing::{RoutingMetrics, TargetLabels},
};
use self::{calls::CallMetrics, interned::Interned, roles::RoleMetrics};
use super::{audit, logging::writer};
use crate::http::{over_limit::OverLimit, time::seconds};

/// OpenTelemetry's name of Bedrock.
pub(crate) const PROVIDER: &str = "aws.bedrock";
/// Labels of the rate-limit store.
const LIMIT_STORE: [(&str, &str); 1] = [("store", "redis")];

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
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    region: String,
    result: String,
}

/// Not `namespace` and `name`: Prometheus sets the label `namespace` of a target.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AccessLabels {
    bedrockaccess_namespace: String,
    bedrockaccess: String,
}

/// A gauge without labels that can be absent.
type OptionalGauge = Family<[(&'static str, &'static str); 0], Gauge>;

/// The state of a gateway at the time of a scrape.
#[derive(Debug)]
pub(crate) struct Observed<'a> {
    pub(crate) credentials: &'a credentials::Status,
    /// Credentials of the roles of targets.
    pub(crate) roles: &'a [credentials::Status],
    pub(crate) in_flight: u64,
    /// `None` if no store is configured.
    pub(crate) limit_store_up: Option<bool>,
    /// `None` without the operator.
    pub(crate) access: Option<&'a AccessReference>,
}

/// All metrics of a gateway.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    calls: CallMetrics,
    requests: Family<HttpLabels, Counter>,
    request_series: Interned<(HttpLabels, Counter)>,
    dropped_fields: Family<FieldLabels, Counter>,
    over_limits: Family<LimitLabels, Counter>,
    limit_store_up: Family<[(&'static str, &'static str); 1], Gauge>,
    limit_store_fallbacks: Counter,
    in_flight: Gauge,
    attempts: Family<AttemptLabels, Counter>,
    attempt_series: Interned<(AttemptLabels, Counter)>,
    reloads: Family<ResultLabel, Counter>,
    reload_successful: Gauge,
    credentials_expiration: OptionalGauge,
    credentials_obtained: OptionalGauge,
    /// Deprecated, like the age.
    credentials_expiry: Gauge<f64, AtomicU64>,
    credentials_age: Gauge<f64, AtomicU64>,
    credentials_ready: Gauge,
    refreshes: Family<ResultLabel, Counter>,
    forced_refreshes: Counter,
    roles: RoleMetrics,
    access: Family<AccessLabels, Gauge>,
    /// Serializes scrapes: what no longer exists must leave no series.
    turn: Mutex<()>,
    /// Targets and prompt caches.
    pub(crate) routing: RoutingMetrics,
    /// Budgets.
    pub(crate) budgets: BudgetMetrics,
}

impl Metrics {
    pub(crate) fn new(conventions: Conventions) -> Arc<Self> {
        let mut metrics = Self {
            registry: Registry::default(),
            calls: CallMetrics::new(conventions),
            requests: Family::default(),
            request_series: Interned::default(),
            dropped_fields: Family::default(),
            over_limits: Family::default(),
            limit_store_up: Family::default(),
            limit_store_fallbacks: Counter::default(),
            in_flight: Gauge::default(),
            attempts: Family::default(),
            attempt_series: Interned::default(),
            reloads: Family::default(),
            reload_successful: Gauge::default(),
            credentials_expiration: Family::default(),
            credentials_obtained: Family::default(),
            credentials_expiry: Gauge::default(),
            credentials_age: Gauge::default(),
            credentials_ready: Gauge::default(),
            refreshes: Family::default(),
            forced_refreshes: Counter::default(),
            roles: RoleMetrics::default(),
            access: Family::default(),
            turn: Mutex::default(),
            routing: RoutingMetrics::default(),
            budgets: BudgetMetrics::default(),
        };
        metrics.register();
        metrics.reload_successful.set(1);
        Arc::new(metrics)
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        self.calls.register(registry);
        register! { registry, self,
            requests: "bedrock_gateway_requests",
                "Requests by route, HTTP status and error reason";
            dropped_fields: "bedrock_gateway_dropped_fields",
                "Request fields that were dropped with a warning, by route and field";
            over_limits: "bedrock_gateway_limit_refusals",
                "Requests rejected by a rate limit, by limit, scope and client";
            limit_store_up: "bedrock_gateway_limit_store_up",
                "1 if the rate-limit store is available, 0 while local counters are used; absent without a store";
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
            credentials_expiration: "bedrock_gateway_credentials_expiration_timestamp",
                "When the AWS credentials expire, since 1970; absent before the first ones and if they do not expire";
            credentials_obtained: "bedrock_gateway_credentials_obtained_timestamp",
                "When the AWS credentials were obtained, since 1970; absent before the first ones";
            credentials_expiry: "bedrock_gateway_credentials_expiry",
                "Deprecated, removed in 0.4: use bedrock_gateway_credentials_expiration_timestamp_seconds";
            credentials_age: "bedrock_gateway_credentials_age",
                "Deprecated, removed in 0.4: use bedrock_gateway_credentials_obtained_timestamp_seconds";
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
        self.routing.register(registry);
        self.budgets.register(registry);
        registry.register(
            "bedrock_gateway_log_lines_dropped",
            "Log lines dropped because standard error was not read in time",
            writer::dropped().clone(),
        );
        registry.register(
            "bedrock_gateway_audit_records",
            "Audit records written",
            audit::written().clone(),
        );
        registry.register(
            "bedrock_gateway_audit_records_dropped",
            "Audit records dropped because the output was not writable in time",
            audit::dropped().clone(),
        );
        registry.register(
            "bedrock_gateway_build",
            "Version of the gateway",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        register! { registry, self,
            access: "bedrock_gateway_access_info",
                "Namespace and name of the BedrockAccess of this gateway";
        }
        registry.register_collector(Box::new(Process));
    }

    /// Counts a finished request.
    pub(crate) fn request(&self, route: &'static str, status: u16, reason: &str) {
        let series = self.request_series.get(
            (route, status, reason),
            |(labels, _)| {
                labels.route == route && labels.status == status && labels.reason == reason
            },
            || {
                let labels = HttpLabels {
                    route,
                    status,
                    reason: reason.to_owned(),
                };
                let counter = self.requests.get_or_create_owned(&labels);
                (labels, counter)
            },
        );
        series.1.inc();
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

    /// Records a finished model request.
    pub(crate) fn call(&self, call: &FinishedCall<'_>) {
        self.calls.record(call);
    }

    /// Adds the cost of a guardrail that was applied without a model.
    pub(crate) fn guardrail(&self, client: &str, dollars: f64) {
        self.calls.guardrail(client, dollars);
    }

    /// Counts a call to Bedrock.
    pub(crate) fn attempt(&self, region: &str, result: &str) {
        let series = self.attempt_series.get(
            (region, result),
            |(labels, _)| labels.region == region && labels.result == result,
            || {
                let labels = AttemptLabels {
                    region: region.to_owned(),
                    result: result.to_owned(),
                };
                let counter = self.attempts.get_or_create_owned(&labels);
                (labels, counter)
            },
        );
        series.1.inc();
    }

    pub(crate) fn config_reloaded(&self, successful: bool) {
        let result = if successful { "success" } else { "refused" };
        self.reloads.get_or_create(&ResultLabel { result }).inc();
        self.reload_successful.set(i64::from(successful));
    }

    /// All metrics, with the current state of the gateway.
    pub(crate) fn render(&self, format: Format, observed: &Observed<'_>) -> String {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.in_flight
            .set(i64::try_from(observed.in_flight).unwrap_or(i64::MAX));
        self.limit_store_up.clear();
        if let Some(up) = observed.limit_store_up {
            let gauge = self.limit_store_up.get_or_create(&LIMIT_STORE);
            gauge.set(i64::from(up));
        }
        self.access.clear();
        if let Some(access) = observed.access {
            let labels = AccessLabels {
                bedrockaccess_namespace: access.namespace.clone(),
                bedrockaccess: access.name.clone(),
            };
            self.access.get_or_create(&labels).set(1);
        }
        let credentials = observed.credentials;
        let times = [
            (&self.credentials_expiration, credentials.expires_at),
            (&self.credentials_obtained, credentials.obtained_at),
        ];
        for (gauge, time) in times {
            gauge.clear();
            if let Some(time) = time {
                let seconds = i64::try_from(seconds(time)).unwrap_or(i64::MAX);
                gauge.get_or_create(&[]).set(seconds);
            }
        }
        self.credentials_expiry.set(match credentials.generation {
            0 => 0.0,
            _ => credentials.seconds_to_expiry.unwrap_or(f64::INFINITY),
        });
        self.credentials_age
            .set(credentials.age_seconds.unwrap_or(0.0));
        self.credentials_ready
            .set(i64::from(credentials.is_usable()));
        for (result, count) in &credentials.refreshes_by_result {
            self.refreshes
                .get_or_create(&ResultLabel { result })
                .inner()
                .store(*count, Ordering::Relaxed);
        }
        self.forced_refreshes
            .inner()
            .store(credentials.forced_refreshes, Ordering::Relaxed);
        self.roles.update(observed.roles);
        // Writing to memory cannot fail.
        format.encode(&self.registry).unwrap_or_default()
    }
}
