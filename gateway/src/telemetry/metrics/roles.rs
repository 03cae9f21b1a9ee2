//! Numbers of the roles that targets name, by ARN. Of two sessions of one role the worse one shows.

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
    /// Held while they are set and read: roles that are gone leave nothing behind.
    turn: Mutex<()>,
}

impl RoleMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "bedrock_gateway_role_credentials_expiry",
            "Time until the credentials of a target's role end, negative afterwards; 0 while there never were any",
            Unit::Seconds,
            self.expiry.clone(),
        );
        registry.register(
            "bedrock_gateway_role_credentials_ready",
            "1 when there are credentials of a target's role to sign with",
            self.ready.clone(),
        );
        registry.register(
            "bedrock_gateway_role_credentials_refreshes",
            "Finished refreshes of a target's role by result",
            self.refreshes.clone(),
        );
    }

    /// Shows the roles as they are now, as long as the guard is held.
    pub(super) fn show(&self, roles: &[Status]) -> MutexGuard<'_, ()> {
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
