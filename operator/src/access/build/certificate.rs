//! The Certificate, with which cert-manager creates the certificate of the gateway pods in a Secret.
//!
//! <https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.Certificate>

use serde_json::{Value, json};

use super::metadata;
use crate::access::validate::{CertificateSource, Validated, issued_secret};

/// The whole object as JSON; `k8s_openapi` has no type for it.
pub(super) fn build(access: &Validated) -> Option<Value> {
    let tls = access.tls.as_ref().filter(|_| !access.revoked)?;
    let CertificateSource::Issuer(issuer) = &tls.source else {
        return None;
    };
    Some(json!({
        "apiVersion": "cert-manager.io/v1",
        "kind": "Certificate",
        "metadata": metadata(access),
        "spec": {
            "secretName": issued_secret(&access.name),
            "dnsNames": tls.names,
            "usages": ["digital signature", "server auth"],
            "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            "issuerRef": {"name": issuer.name, "kind": issuer.kind(), "group": issuer.group()},
        },
    }))
}
