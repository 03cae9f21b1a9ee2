//! Metrics of routing: ejected targets, and prompt caches that were not read.

use std::sync::{Mutex, PoisonError};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A configured target; `role` is empty without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct TargetLabels {
    pub(crate) target_model: String,
    pub(crate) region: String,
    pub(crate) role: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BreakLabels {
    client: String,
    model: String,
    part: &'static str,
}

/// The metrics of routing.
#[derive(Debug, Default)]
pub(crate) struct RoutingMetrics {
    ejected: Family<TargetLabels, Gauge>,
    ejections: Family<TargetLabels, Counter>,
    cache_breaks: Family<BreakLabels, Counter>,
    /// Serializes updates: removed targets must leave no series.
    turn: Mutex<()>,
}

impl RoutingMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register! { registry, self,
            ejected: "bedrock_gateway_target_ejected",
                "1 while a target is ejected because it fails, so that requests prefer the other targets";
            ejections: "bedrock_gateway_target_ejections",
                "Ejections of a target";
            cache_breaks: "bedrock_gateway_cache_breaks",
                "Requests of a conversation that did not read its whole cached prefix, by the part that changed";
        }
    }

    /// Counts a cached prefix that was not read.
    pub(crate) fn cache_break(&self, model: &str, client: &str, part: &'static str) {
        let labels = BreakLabels {
            client: client.to_owned(),
            model: model.to_owned(),
            part,
        };
        self.cache_breaks.get_or_create(&labels).inc();
    }

    /// Sets the metrics of targets: each with whether it is ejected, and its ejections.
    pub(crate) fn update(&self, targets: impl Iterator<Item = (TargetLabels, bool, u64)>) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.ejected.clear();
        self.ejections.clear();
        for (labels, is_ejected, total) in targets {
            let ejected = i64::from(is_ejected);
            self.ejected.get_or_create(&labels).set(ejected);
            self.ejections.get_or_create(&labels).inc_by(total);
        }
    }
}
