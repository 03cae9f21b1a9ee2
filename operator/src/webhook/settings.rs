//! Settings of the webhook.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

const DAY: Duration = Duration::from_hours(24);

/// Settings of the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Address to listen on.
    pub address: SocketAddr,
    /// Source of its certificate.
    pub certificate: CertificateSource,
    /// File with the CA certificates of clients, PEM. `None`: the API server needs no client certificate.
    pub client_authority: Option<PathBuf>,
}

/// Source of the webhook's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// Created and renewed by the operator.
    Own(OwnCertificate),
    /// Files `tls.crt` and `tls.key` in a directory, renewed by another component, such as cert-manager, which also
    /// publishes the CA.
    Directory(PathBuf),
}

/// A certificate that the operator creates itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// Namespace of the operator.
    pub namespace: String,
    /// Secret with the certificate and its CA.
    pub secret: String,
    /// The `MutatingWebhookConfiguration` whose `caBundle` the operator sets.
    pub configuration: String,
    /// The `ValidatingWebhookConfiguration` whose `caBundle` the operator sets, if the validation webhook is enabled.
    pub validation_configuration: String,
    /// DNS names or addresses under which the API server calls the webhook.
    pub names: Vec<String>,
    /// When to renew.
    pub rotation: Rotation,
}

/// Lifetimes. The CA and the certificate are renewed after two thirds of their lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Lifetime of the CA.
    pub authority: Duration,
    /// Lifetime of the certificate.
    pub certificate: Duration,
    /// How long a new CA is published before a certificate of it is used, so that every API server has read it.
    pub overlap: Duration,
    /// Interval between checks.
    pub check: Duration,
}

impl Default for Rotation {
    fn default() -> Self {
        Self {
            authority: DAY * 365,
            certificate: DAY * 90,
            overlap: Duration::from_hours(1),
            check: Duration::from_mins(1),
        }
    }
}
