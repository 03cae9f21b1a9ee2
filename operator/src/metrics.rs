//! Metrics, under the names of controller-runtime, so that existing dashboards work.
//!
//! <https://book.kubebuilder.io/reference/metrics-reference>

mod objects;

use std::time::Duration;

use api::names;
use exposition::{Format, Process};
use kube_runtime::reflector::Store;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram, info::Info},
    registry::Registry,
};

use self::objects::Objects;
use crate::{access::Guarded, webhook::metrics::WebhookMetrics};

/// Value of the label `controller`.
const CONTROLLER: &str = "bedrockaccess";
/// Results of reconciles, under the names of controller-runtime.
const RESULTS: [&str; 3] = ["success", "requeue_after", "error"];
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

/// Registers metrics, each with its name and help text.
macro_rules! register {
    ($registry:expr, $metrics:expr, $($metric:ident: $name:literal, $help:literal;)*) => {
        $($registry.register($name, $help, $metrics.$metric.clone());)*
    };
}
pub(crate) use register;

/// All metrics of an operator.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: Registry,
    reconciles: Family<ResultLabels, Counter>,
    errors: Family<ControllerLabel, Counter>,
    error_reasons: Family<ErrorLabels, Counter>,
    seconds: Family<ControllerLabel, Histogram>,
    active: Family<ControllerLabel, Gauge>,
    workers: Family<ControllerLabel, Gauge>,
    writes: Family<WriteLabels, Counter>,
    leads: Family<LeaseLabel, Gauge>,
    queue_depth: Family<QueueLabels, Gauge>,
    queue_adds: Family<QueueLabels, Counter>,
    queue_seconds: Family<QueueLabels, Histogram>,
    objects: Objects,
    /// Metrics of the webhook.
    pub(crate) webhook: WebhookMetrics,
}

impl Metrics {
    pub(crate) fn new(concurrency: u16) -> Self {
        let mut registry = Registry::default();
        let mut metrics = Self {
            reconciles: Family::default(),
            errors: Family::default(),
            error_reasons: Family::default(),
            seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            active: Family::default(),
            workers: Family::default(),
            writes: Family::default(),
            leads: Family::default(),
            queue_depth: Family::default(),
            queue_adds: Family::default(),
            queue_seconds: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            objects: Objects::default(),
            webhook: WebhookMetrics::default(),
            registry: Registry::default(),
        };
        register! { registry, metrics,
            reconciles: "controller_runtime_reconcile",
                "Reconciles by controller and result";
            errors: "controller_runtime_reconcile_errors",
                "Failed reconciles by controller";
            seconds: "controller_runtime_reconcile_time_seconds",
                "Reconcile duration in seconds";
            active: "controller_runtime_active_workers",
                "Reconciles in progress";
            workers: "controller_runtime_max_concurrent_reconciles",
                "Maximum concurrent reconciles";
            error_reasons: "bedrock_access_operator_reconcile_error_reasons",
                "Failed reconciles by reason";
            writes: "bedrock_access_operator_writes",
                "Writes to the API server by kind and verb";
            leads: "leader_election_master_status",
                "Whether this process holds the leader election Lease: 1 = leader, 0 = standby";
            queue_depth: "workqueue_depth",
                "Objects waiting for a reconcile";
            queue_adds: "workqueue_adds",
                "Requested reconciles";
            queue_seconds: "workqueue_queue_duration_seconds",
                "Time that objects waited for a reconcile, in seconds";
        }
        metrics.webhook.register(&mut registry);
        registry.register(
            "bedrock_access_operator_build",
            "Version of the operator",
            Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]),
        );
        registry.register_collector(Box::new(metrics.objects.clone()));
        registry.register_collector(Box::new(Process));
        // As in controller-runtime: a series exists before the first event, so that rates have a start.
        metrics.errors.get_or_create(&THIS).inc_by(0);
        for result in RESULTS {
            let labels = ResultLabels {
                controller: CONTROLLER,
                result,
            };
            metrics.reconciles.get_or_create(&labels).inc_by(0);
        }
        metrics
            .workers
            .get_or_create(&THIS)
            .set(i64::from(concurrency));
        metrics.registry = registry;
        metrics
    }

    /// Sets the cache whose objects are counted.
    pub(crate) fn watch(&self, store: Store<Guarded>) {
        self.objects.set(store);
    }

    /// Counts a reconcile as active until the guard is dropped.
    pub(crate) fn begin(&self) -> InProgress {
        InProgress::new(&self.active.get_or_create(&THIS))
    }

    /// Records the duration of a reconcile and its result, which is one of controller-runtime's.
    pub(crate) fn ended(&self, result: &'static str, duration: Duration) {
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

    /// All metrics in this format.
    ///
    /// # Errors
    /// None in practice: the text is written to memory.
    pub(crate) fn render(&self, format: Format) -> Result<String, std::fmt::Error> {
        format.encode(&self.registry)
    }
}

const THIS: ControllerLabel = ControllerLabel {
    controller: CONTROLLER,
};

const QUEUE: QueueLabels = QueueLabels {
    controller: CONTROLLER,
    name: CONTROLLER,
};

/// Counts a reconcile or a request as in progress until dropped.
#[derive(Debug)]
pub(crate) struct InProgress(Gauge);

impl InProgress {
    pub(crate) fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write,
        process::{Command, Stdio},
    };

    use kube::core::DeserializeGuard;
    use kube_runtime::{reflector, watcher};

    use super::*;
    use crate::fixtures;

    /// What `promtool check metrics` finds; empty if nothing.
    fn findings(page: &str) -> String {
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("promtool is required: on Debian, apt-get install prometheus");
        let mut input = promtool.stdin.take().unwrap();
        input.write_all(page.as_bytes()).unwrap();
        drop(input);
        let output = promtool.wait_with_output().unwrap();
        assert!(output.status.success() || !output.stderr.is_empty());
        String::from_utf8([output.stdout, output.stderr].concat()).unwrap()
    }

    #[test]
    fn prometheus_finds_no_fault_in_the_page() {
        let metrics = Metrics::new(4);
        metrics.ended("success", Duration::from_millis(3));
        metrics.failed("InvalidSpec");
        metrics.wrote("Deployment", "apply");
        metrics.leads(true);
        metrics.queued(1);
        metrics.dequeued(0, Duration::from_millis(3));
        let (store, mut writer) = reflector::store::<Guarded>();
        metrics.watch(store);
        let access = DeserializeGuard(Ok(fixtures::access("")));
        writer.apply_watcher_event(&watcher::Event::Apply(access));
        let page = metrics.render(Format::Text).unwrap();
        let objects =
            "bedrock_access_operator_bedrockaccesses{ready=\"Unknown\",reason=\"Pending\"} 1";
        assert!(page.contains(objects), "{page}");
        assert_eq!(findings(&page), "", "{page}");
        let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/guide/metrics.md");
        let guide = std::fs::read_to_string(guide).unwrap();
        for rest in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
            let name = rest.split(' ').next().unwrap();
            let quoted = format!("`{name}`");
            assert!(
                guide.contains(&quoted),
                "docs/guide/metrics.md lacks {name}"
            );
        }
    }

    #[test]
    fn reconcile_metrics_have_the_names_of_controller_runtime() {
        let metrics = Metrics::new(4);
        let guard = metrics.begin();
        assert!(
            metrics
                .render(Format::Text)
                .unwrap()
                .contains("controller_runtime_active_workers{controller=\"bedrockaccess\"} 1")
        );
        drop(guard);
        metrics.ended("success", Duration::from_millis(3));
        metrics.failed("InvalidSpec");
        metrics.wrote("Deployment", "apply");
        metrics.leads(true);
        let text = metrics.render(Format::Text).unwrap();
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
