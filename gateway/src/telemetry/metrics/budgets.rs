//! Metrics of budgets.

use std::sync::{Mutex, PoisonError, atomic::AtomicU64};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// A budget; `client` is empty for one that all clients share.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct BudgetLabels {
    /// `access` or `client`.
    pub(crate) scope: &'static str,
    pub(crate) client: String,
    pub(crate) period: &'static str,
    /// `usd` or `tokens`.
    pub(crate) unit: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FallbackLabels {
    client: String,
    model: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DecisionLabel {
    decision: &'static str,
}

/// The metrics of budgets.
#[derive(Debug, Default)]
pub(crate) struct BudgetMetrics {
    used: Family<BudgetLabels, Gauge<f64, AtomicU64>>,
    fallbacks: Family<FallbackLabels, Counter>,
    store_failures: Family<DecisionLabel, Counter>,
    store_up: Family<[(&'static str, &'static str); 0], Gauge>,
    /// Serializes updates: removed budgets must leave no series.
    turn: Mutex<()>,
}

impl BudgetMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register! { registry, self,
            used: "bedrock_gateway_budget_used_ratio",
                "Spent part of a budget in its current period, as far as this gateway knows; 1 if all is spent";
            fallbacks: "bedrock_gateway_budget_fallbacks",
                "Requests that got the fallback model of a budget, by client and model";
            store_failures: "bedrock_gateway_budget_store_failures",
                "Requests decided without the store of their budgets, by decision (open or closed)";
            store_up: "bedrock_gateway_budget_store_up",
                "1 if the store of the budgets is available, 0 while onStoreFailure applies; absent without a store or budgets";
        }
    }

    /// Counts a request that got the fallback model.
    pub(crate) fn fallback(&self, client: &str, model: &str) {
        let labels = FallbackLabels {
            client: client.to_owned(),
            model: model.to_owned(),
        };
        self.fallbacks.get_or_create(&labels).inc();
    }

    /// Counts a request that was decided without the store.
    pub(crate) fn store_failure(&self, is_open: bool) {
        let decision = if is_open { "open" } else { "closed" };
        let labels = DecisionLabel { decision };
        self.store_failures.get_or_create(&labels).inc();
    }

    /// Sets the metrics of all budgets, and whether their store is available.
    pub(crate) fn update(
        &self,
        used: impl IntoIterator<Item = (BudgetLabels, f64)>,
        store_is_up: Option<bool>,
    ) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.used.clear();
        for (labels, ratio) in used {
            // Of several time zones, the one that is spent first.
            let gauge = self.used.get_or_create(&labels);
            gauge.set(gauge.get().max(ratio));
        }
        self.store_up.clear();
        if let Some(up) = store_is_up {
            self.store_up.get_or_create(&[]).set(i64::from(up));
        }
    }
}
