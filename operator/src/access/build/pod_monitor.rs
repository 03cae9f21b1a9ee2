//! The PodMonitor, by which a Prometheus operator finds the gateway pods.
//!
//! Pods rather than the Service: metrics are served on the admin port, which no Service offers.
//! <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>

use api::names;
use serde_json::{Value, json};

use super::{ADMIN_PORT, Empty, metadata, selector};
use crate::access::validate::Validated;

/// The whole object; there is no type for it among Kubernetes' own.
pub(super) fn build(access: &Validated) -> Option<Value> {
    let wanted = access.pod_monitor.as_ref()?;
    let mut endpoint = json!({"port": ADMIN_PORT, "path": names::GATEWAY_METRICS_PATH});
    if let (Some(interval), Some(endpoint)) = (&wanted.interval, endpoint.as_object_mut()) {
        endpoint.insert("interval".to_owned(), json!(interval));
    }
    Some(json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata(access, &access.child_name(), &wanted.labels, &Empty::new()),
        "spec": {
            "selector": {"matchLabels": selector(access)},
            "podMetricsEndpoints": [endpoint],
        },
    }))
}
