//! Metrics of the webhook, under the names of controller-runtime.
//!
//! <https://book.kubebuilder.io/reference/metrics-reference>

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use crate::metrics::{InProgress, register};

/// Upper bounds of the latency, in seconds; most responses should take less than ten milliseconds.
const BUCKETS: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.00075, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025,
    0.05, 0.1, 0.5, 1.0, 5.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabel {
    webhook: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    webhook: &'static str,
    code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// Metrics of the webhook.
#[derive(Clone, Debug)]
pub(crate) struct WebhookMetrics {
    requests: Family<CodeLabels, Counter>,
    latency: Family<WebhookLabel, Histogram>,
    in_flight: Family<WebhookLabel, Gauge>,
    admissions: Family<ResultLabel, Counter>,
    reviews: Family<ResultLabel, Counter>,
}

impl Default for WebhookMetrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(BUCKETS)),
            in_flight: Family::default(),
            admissions: Family::default(),
            reviews: Family::default(),
        }
    }
}

impl WebhookMetrics {
    pub(crate) fn register(&self, registry: &mut Registry) {
        register! { registry, self,
            requests: "controller_runtime_webhook_requests",
                "Admission requests by HTTP status";
            latency: "controller_runtime_webhook_latency_seconds",
                "Admission request latency in seconds";
            in_flight: "controller_runtime_webhook_requests_in_flight",
                "Admission requests in progress";
            admissions: "bedrock_access_operator_sidecar_admissions",
                "Sidecar injection requests by result: injected, unchanged, or the reason for the rejection";
            reviews: "bedrock_access_operator_access_reviews",
                "BedrockAccess validation requests by result: allowed, or the reason for the rejection";
        }
    }

    /// Counts a request as in progress until the guard is dropped.
    pub(super) fn begin(&self, webhook: &'static str) -> InProgress {
        InProgress::new(&self.in_flight.get_or_create(&WebhookLabel { webhook }))
    }

    /// Records the status and duration of a request.
    pub(super) fn responded(&self, webhook: &'static str, code: u16, took: Duration) {
        self.requests
            .get_or_create(&CodeLabels { webhook, code })
            .inc();
        self.latency
            .get_or_create(&WebhookLabel { webhook })
            .observe(took.as_secs_f64());
    }

    /// Counts the decision on a `BedrockAccess`.
    pub(super) fn reviewed(&self, result: &'static str) {
        self.reviews.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts the decision on a pod.
    pub(super) fn decided(&self, result: &'static str) {
        self.admissions.get_or_create(&ResultLabel { result }).inc();
    }
}
