//! TLS of the Service of the gateway, and the source of its certificate.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

/// TLS of the gateway. Without secretName and issuerRef, the operator creates and renews the certificate with an authority of
/// its own for the namespace, and publishes it as ca.crt in the ConfigMap for apps.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[x_kube(
    validation = Rule::new("!has(self.secretName) || !has(self.issuerRef)").message("set secretName or issuerRef, not both: cert-manager writes the certificate of issuerRef to a Secret of its own"),
    validation = Rule::new("!has(self.caConfigMapName) || has(self.secretName) || has(self.issuerRef)").message("caConfigMapName requires secretName or issuerRef: the operator publishes its own authority in the ConfigMap for apps")
)]
#[serde(rename_all = "camelCase")]
pub struct TlsSpec {
    /// Existing Secret of type kubernetes.io/tls with the certificate, tls.crt, and its key, tls.key. The gateway reloads it
    /// when it changes.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_name: Option<String>,
    /// Issuer of cert-manager. The operator creates a Certificate with the names of the Service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer_ref: Option<IssuerRef>,
    /// ConfigMap whose key ca.crt is the authority of the certificate of secretName or issuerRef, such as a bundle of
    /// trust-manager. Gateways of the Gateway API verify the certificate with it.
    #[schemars(length(min = 1, max = 253))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_config_map_name: Option<String>,
}

/// An issuer of cert-manager.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Name of the issuer.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Kind of the issuer. Default: Issuer.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[A-Za-z][A-Za-z0-9]*$"))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// API group of the issuer. Default: cert-manager.io.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$")
    )]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
}

impl IssuerRef {
    /// The kind, with the default applied.
    pub fn kind(&self) -> &str {
        self.kind.as_deref().unwrap_or("Issuer")
    }

    /// The API group, with the default applied.
    pub fn group(&self) -> &str {
        self.group.as_deref().unwrap_or("cert-manager.io")
    }
}
