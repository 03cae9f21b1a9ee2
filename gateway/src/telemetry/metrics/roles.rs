//! Metrics of the roles of targets, by ARN. Of two sessions of one role the worse value is exposed.

use std::sync::atomic::AtomicU64;

use credentials::Status;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::http::time::seconds;

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
    expiration: Family<RoleLabel, Gauge>,
    /// Deprecated.
    expiry: Family<RoleLabel, Gauge<f64, AtomicU64>>,
    ready: Family<RoleLabel, Gauge>,
    refreshes: Family<RefreshLabels, Counter>,
}

impl RoleMetrics {
    pub(super) fn register(&self, registry: &mut Registry) {
        register_seconds! { registry, self,
            expiration: "bedrock_gateway_role_credentials_expiration_timestamp",
                "When the credentials of a target's role expire, since 1970; absent before the first ones";
            expiry: "bedrock_gateway_role_credentials_expiry",
                "Deprecated, removed in 0.4: use bedrock_gateway_role_credentials_expiration_timestamp_seconds";
        }
        register! { registry, self,
            ready: "bedrock_gateway_role_credentials_ready",
                "1 if credentials of a target's role are available and AWS accepts them";
            refreshes: "bedrock_gateway_role_credentials_refreshes",
                "Refreshes of the credentials of a target's role by result";
        }
    }

    /// Sets the metrics to the current roles. Removed roles leave no series.
    pub(super) fn update(&self, roles: &[Status]) {
        self.expiration.clear();
        self.expiry.clear();
        self.ready.clear();
        self.refreshes.clear();
        for status in roles {
            let role = status.choice.assume_roles.last();
            let role = role.cloned().unwrap_or_default();
            let label = RoleLabel { role: role.clone() };
            if let Some(expires_at) = status.expires_at {
                let expires = i64::try_from(seconds(expires_at)).unwrap_or(i64::MAX);
                let earlier = self.expiration.get(&label).map(|known| known.get());
                self.expiration
                    .get_or_create(&label)
                    .set(earlier.map_or(expires, |earlier| earlier.min(expires)));
            }
            let seconds = status.seconds_to_expiry.unwrap_or(0.0);
            let earlier = self.expiry.get(&label).map(|known| known.get());
            self.expiry
                .get_or_create(&label)
                .set(earlier.map_or(seconds, |earlier| earlier.min(seconds)));
            let ready = i64::from(status.is_usable());
            let known = self.ready.get(&label).map(|known| known.get());
            self.ready
                .get_or_create(&label)
                .set(known.map_or(ready, |known| known.min(ready)));
            for (result, count) in &status.refreshes_by_result {
                let role = role.clone();
                self.refreshes
                    .get_or_create(&RefreshLabels { role, result })
                    .inc_by(*count);
            }
        }
    }
}
