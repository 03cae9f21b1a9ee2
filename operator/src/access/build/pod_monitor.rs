//! The PodMonitor, with which the Prometheus operator discovers the gateway pods.
//!
//! Not a ServiceMonitor: metrics are served on the admin port, which the Service does not expose.
//! <https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.PodMonitor>

use std::collections::BTreeMap;

use api::names;
use serde_json::{Value, json};

use super::{ADMIN_PORT, metadata_with, selector};
use crate::access::validate::Validated;

/// The whole object as JSON; `k8s_openapi` has no type for it.
pub(super) fn build(access: &Validated) -> Option<Value> {
    let wanted = access.pod_monitor.as_ref()?;
    let mut endpoint = json!({
        "port": ADMIN_PORT,
        "path": names::GATEWAY_METRICS_PATH,
        // The label of every series by which alerts and dashboards group.
        "relabelings": [{
            "action": "replace", "targetLabel": "bedrockaccess", "replacement": access.name,
        }],
    });
    if let (Some(interval), Some(endpoint)) = (&wanted.interval, endpoint.as_object_mut()) {
        endpoint.insert("interval".to_owned(), json!(interval));
    }
    Some(json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PodMonitor",
        "metadata": metadata_with(access, &wanted.labels, &BTreeMap::new()),
        "spec": {
            "selector": {"matchLabels": selector(access)},
            "podMetricsEndpoints": [endpoint],
        },
    }))
}
