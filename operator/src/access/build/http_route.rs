//! The HTTPRoute, with which Gateways of the Gateway API forward requests to the Service.
//!
//! <https://gateway-api.sigs.k8s.io/reference/spec/#httproute>

use api::names;
use serde_json::{Map, Value, json};

use super::metadata;
use crate::access::validate::Validated;

/// The whole object as JSON; `k8s_openapi` has no type for it. A denied `BedrockAccess` has no route: it may not take host
/// names of a Gateway.
pub(super) fn build(access: &Validated) -> Option<Value> {
    let route = access.gateway.http_route.as_ref();
    let route = route.filter(|_| !access.revoked)?;
    let mut timeouts = Map::new();
    timeouts.insert("request".to_owned(), json!(route.timeouts.request()));
    if let Some(timeout) = &route.timeouts.backend_request {
        timeouts.insert("backendRequest".to_owned(), json!(timeout));
    }
    let mut spec = Map::new();
    spec.insert("parentRefs".to_owned(), json!(route.parent_refs));
    if !route.hostnames.is_empty() {
        spec.insert("hostnames".to_owned(), json!(route.hostnames));
    }
    let rule = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"name": access.child_name(), "port": names::GATEWAY_PORT}],
        "timeouts": timeouts,
    });
    spec.insert("rules".to_owned(), json!([rule]));
    Some(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": metadata(access),
        "spec": spec,
    }))
}
