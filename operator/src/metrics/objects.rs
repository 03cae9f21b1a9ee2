//! Counts `BedrockAccess` objects by their condition `Ready`, from the cache of the watch, at each scrape.
//!
//! No metric names an object: thousands of them would be thousands of series.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

use api::v1alpha1::condition;
use kube_runtime::reflector::Store;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

use crate::access::Guarded;

/// The cache, once it exists. Cloning copies a pointer.
#[derive(Clone, Default)]
pub(super) struct Objects(Arc<OnceLock<Store<Guarded>>>);

impl Objects {
    pub(super) fn set(&self, store: Store<Guarded>) {
        // A second cache is never set.
        let _ = self.0.set(store);
    }
}

/// Status and reason of the condition `Ready`.
fn readiness(object: &Guarded) -> (String, String) {
    let status = object
        .0
        .as_ref()
        .ok()
        .and_then(|access| access.status.as_ref());
    let mut conditions = status.iter().flat_map(|status| &status.conditions);
    conditions
        .find(|condition| condition.type_ == condition::READY)
        .map_or_else(
            || ("Unknown".to_owned(), "Pending".to_owned()),
            |ready| (ready.status.clone(), ready.reason.clone()),
        )
}

impl Collector for Objects {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut counts: BTreeMap<_, u64> = BTreeMap::new();
        let objects = self.0.get().map(Store::state).unwrap_or_default();
        for object in objects {
            let count = counts.entry(readiness(&object)).or_default();
            *count = count.saturating_add(1);
        }
        if counts.is_empty() {
            return Ok(());
        }
        let mut metric = encoder.encode_descriptor(
            "bedrock_access_operator_bedrockaccesses",
            "BedrockAccess objects by status and reason of their condition Ready.",
            None,
            MetricType::Gauge,
        )?;
        for ((ready, reason), count) in counts {
            let labels = [("ready", ready), ("reason", reason)];
            ConstGauge::new(count).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}
