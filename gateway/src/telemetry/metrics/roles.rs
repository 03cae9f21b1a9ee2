//! Metrics of the roles of targets, by ARN. Of two sessions of one role the worse value is exposed.

use std::sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64};

use credentials::Status;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RoleLabel {
    role: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefreshLabels {
    role: String,
    result: &'static str,
}

#[derive(Debug, Default)]
pub(super) struct RoleMetrics {
    expiry: Family<RoleLabel, Gauge<f64, AtomicU64>>,
    ready: Family<RoleLabel, Gauge>,
    refreshes: Family<RefreshLabels, Counter>,
    /// Serializes updates and reads: removed roles must leave no series.
    turn: Mutex<()>,
}

impl RoleMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register_seconds! { registry, self,
            expiry: "bedrock_gateway_role_credentials_expiry",
                "Time until the credentials of a target's role expire, negative afterwards; 0 before the first ones";
        }
        register! { registry, self,
            ready: "bedrock_gateway_role_credentials_ready",
                "1 if credentials of a target's role are available and AWS accepts them";
            refreshes: "bedrock_gateway_role_credentials_refreshes",
                "Refreshes of the credentials of a target's role by result";
        }
    }

    /// Sets the metrics to the current roles; they are consistent while the guard is held.
    pub(super) fn update(&self, roles: &[Status]) -> MutexGuard<'_, ()> {
        let turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.expiry.clear();
        self.ready.clear();
        self.refreshes.clear();
        for status in roles {
            let role = status.choice.assume_roles.last();
            let role = role.cloned().unwrap_or_default();
            let label = RoleLabel { role: role.clone() };
            let seconds = status.seconds_to_expiry.unwrap_or(0.0);
            let ready = i64::from(status.is_usable());
            let known = self.ready.get(&label).is_some();
            let expiry = self.expiry.get_or_create(&label);
            let shown = self.ready.get_or_create(&label);
            expiry.set(if known {
                expiry.get().min(seconds)
            } else {
                seconds
            });
            shown.set(if known { shown.get().min(ready) } else { ready });
            for (result, count) in &status.refreshes_by_result {
                let role = role.clone();
                self.refreshes
                    .get_or_create(&RefreshLabels { role, result })
                    .inc_by(*count);
            }
        }
        turn
    }
}
