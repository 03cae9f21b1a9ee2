//! The BackendTLSPolicy, with which Gateways of the Gateway API connect to the Service by TLS and verify its certificate.
//!
//! <https://gateway-api.sigs.k8s.io/reference/spec/#backendtlspolicy>

use serde_json::{Value, json};

use super::metadata;
use crate::access::validate::Validated;

/// The whole object as JSON; `k8s_openapi` has no type for it. `None` if no route leads to the Service, or the CA of its
/// certificate is not known.
pub(super) fn build(access: &Validated) -> Option<Value> {
    let route = access.gateway.http_route.as_ref();
    route.filter(|_| !access.revoked)?;
    let tls = access.tls.as_ref()?;
    let authority = tls.ca_config_map.as_ref()?;
    Some(json!({
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "BackendTLSPolicy",
        "metadata": metadata(access),
        "spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": access.child_name()}],
            "validation": {
                "caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": authority}],
                "hostname": format!("{}.{}.svc", access.child_name(), access.namespace),
            },
        },
    }))
}
