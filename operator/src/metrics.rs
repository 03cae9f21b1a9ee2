//! Metrics, under the names of controller-runtime, so that existing dashboards work.
//!
//! <https://book.kubebuilder.io/reference/metrics-reference>

use std::time::Duration;

use api::names;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::webhook::metrics::WebhookMetrics;

/// Value of the label `controller`.
const CONTROLLER: &str = "bedrockaccess";
/// Upper bounds of the reconcile duration, in seconds.
const BUCKETS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabel {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErrorLabels {
    controller: &'static str,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LeaseLabel {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    controller: &'static str,
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WriteLabels {
    kind: &'static str,
    verb: &'static str,
}

/// Result of a reconcile, with controller-runtime's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Done; waits for a change.
    Success,
    /// Done; requeued after a delay.
    RequeueAfter,
    /// Failed.
    Error,
}

/// All metrics of an operator.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: Family<ResultLabels, Counter>,
    errors: Family<ControllerLabel, Counter>,
    error_reasons: Family<ErrorLabels, Counter>,
    seconds: Family<ControllerLabel, Histogram>,
    active: Family<ControllerLabel, Gauge>,
    writes: Family<WriteLabels, Counter>,
    leads: Family<LeaseLabel, Gauge>,
    queue_depth: Family<QueueLabels, Gauge>,
    queue_adds: Family<QueueLabels, Counter>,
    queue_seconds: Family<QueueLabels, Histogram>,
    /// Metrics of the webhook.
    pub(crate) webhook: WebhookMetrics,
}

impl Metrics {
    pub(crate) fn new(concurrency: u16) -> Self {
        let mut registry = Registry::default();
        let reconciles = Family::default();
        let errors = Family::default();
        let error_reasons = Family::default();
        let seconds: Family<ControllerLabel, Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        let active = Family::default();
        let workers: Family<ControllerLabel, Gauge> = Family::default();
        let writes = Family::default();
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by controller and result",
            reconciles.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Failed reconciles by controller",
            errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Reconcile duration in seconds",
            seconds.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciles in progress",
            active.clone(),
        );
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "Maximum concurrent reconciles",
            workers.clone(),
        );
        registry.register(
            "bedrock_access_operator_reconcile_error_reasons",
            "Failed reconciles by reason",
            error_reasons.clone(),
        );
        registry.register(
            "bedrock_access_operator_writes",
            "Writes to the API server by kind and verb",
            writes.clone(),
        );
        let leads: Family<LeaseLabel, Gauge> = Family::default();
        registry.register(
            "leader_election_master_status",
            "Whether this process holds the leader election Lease: 1 = leader, 0 = standby",
            leads.clone(),
        );
        workers.get_or_create(&THIS).set(i64::from(concurrency));
        let queue_depth = Family::default();
        let queue_adds = Family::default();
        let queue_seconds: Family<QueueLabels, Histogram> =
            Family::new_with_constructor(|| Histogram::new(BUCKETS));
        registry.register(
            "workqueue_depth",
            "Objects waiting for a reconcile",
            queue_depth.clone(),
        );
        registry.register("workqueue_adds", "Requested reconciles", queue_adds.clone());
        registry.register(
            "workqueue_queue_duration_seconds",
            "Time that objects waited for a reconcile, in seconds",
            queue_seconds.clone(),
        );
        let webhook = WebhookMetrics::new(&mut registry);
        Self {
            registry,
            reconciles,
            errors,
            error_reasons,
            seconds,
            active,
            writes,
            leads,
            queue_depth,
            queue_adds,
            queue_seconds,
            webhook,
        }
    }

    /// Counts a reconcile as active until the guard is dropped.
    pub(crate) fn begin(&self) -> ActiveGuard<'_> {
        self.active.get_or_create(&THIS).inc();
        ActiveGuard(self)
    }

    /// Records the result and duration of a reconcile.
    pub(crate) fn ended(&self, outcome: Outcome, duration: Duration) {
        let result = match outcome {
            Outcome::Success => "success",
            Outcome::RequeueAfter => "requeue_after",
            Outcome::Error => "error",
        };
        self.reconciles
            .get_or_create(&ResultLabels {
                controller: CONTROLLER,
                result,
            })
            .inc();
        self.seconds
            .get_or_create(&THIS)
            .observe(duration.as_secs_f64());
    }

    /// Counts a failed reconcile and its reason.
    pub(crate) fn failed(&self, reason: &str) {
        self.errors.get_or_create(&THIS).inc();
        self.error_reasons
            .get_or_create(&ErrorLabels {
                controller: CONTROLLER,
                reason: reason.to_owned(),
            })
            .inc();
    }

    /// Records whether this process is the leader.
    pub(crate) fn leads(&self, leads: bool) {
        let lease = LeaseLabel { name: names::LEASE };
        self.leads.get_or_create(&lease).set(i64::from(leads));
    }

    /// Counts a requested reconcile; `waiting` objects are in the queue now.
    pub(crate) fn queued(&self, waiting: usize) {
        self.queue_adds.get_or_create(&QUEUE).inc();
        self.queue_length(waiting);
    }

    /// Records that a reconcile started after this wait; `waiting` objects are in the queue now.
    pub(crate) fn dequeued(&self, waiting: usize, after: Duration) {
        self.queue_seconds
            .get_or_create(&QUEUE)
            .observe(after.as_secs_f64());
        self.queue_length(waiting);
    }

    /// Records the length of the queue.
    pub(crate) fn queue_length(&self, waiting: usize) {
        let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&QUEUE).set(waiting);
    }

    /// Counts a write to the API server.
    pub(crate) fn wrote(&self, kind: &'static str, verb: &'static str) {
        self.writes.get_or_create(&WriteLabels { kind, verb }).inc();
    }

    /// All metrics in the OpenMetrics text format.
    ///
    /// # Errors
    /// None in practice: the text is written to memory.
    pub(crate) fn render(&self) -> Result<String, std::fmt::Error> {
        let mut body = String::new();
        text::encode(&mut body, &self.registry)?;
        Ok(body)
    }
}

const THIS: ControllerLabel = ControllerLabel {
    controller: CONTROLLER,
};

const QUEUE: QueueLabels = QueueLabels {
    controller: CONTROLLER,
    name: CONTROLLER,
};

/// A reconcile in progress.
#[derive(Debug)]
pub(crate) struct ActiveGuard<'a>(&'a Metrics);

impl Drop for ActiveGuard<'_> {
    fn drop(&mut self) {
        self.0.active.get_or_create(&THIS).dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconcile_metrics_have_the_names_of_controller_runtime() {
        let metrics = Metrics::new(4);
        let guard = metrics.begin();
        assert!(
            metrics
                .render()
                .unwrap()
                .contains("controller_runtime_active_workers{controller=\"bedrockaccess\"} 1")
        );
        drop(guard);
        metrics.ended(Outcome::Success, Duration::from_millis(3));
        metrics.failed("InvalidSpec");
        metrics.wrote("Deployment", "apply");
        metrics.leads(true);
        let text = metrics.render().unwrap();
        for line in [
            "controller_runtime_active_workers{controller=\"bedrockaccess\"} 0",
            "controller_runtime_reconcile_total{controller=\"bedrockaccess\",result=\"success\"} 1",
            "controller_runtime_reconcile_errors_total{controller=\"bedrockaccess\"} 1",
            "controller_runtime_reconcile_time_seconds_count{controller=\"bedrockaccess\"} 1",
            "controller_runtime_max_concurrent_reconciles{controller=\"bedrockaccess\"} 4",
            "leader_election_master_status{name=\"bedrock-access-operator\"} 1",
            "bedrock_access_operator_writes_total{kind=\"Deployment\",verb=\"apply\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }
}
