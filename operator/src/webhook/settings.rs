//! What the webhook is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

const DAY: Duration = Duration::from_hours(24);

/// What the webhook is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// Where it is served.
    pub address: SocketAddr,
    /// Where its certificate comes from.
    pub certificate: CertificateSource,
}

/// Where the webhook's certificate comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// Made and renewed by the operator.
    Own(OwnCertificate),
    /// Files `tls.crt` and `tls.key` in a folder, kept fresh by somebody else, such as cert-manager, who also
    /// publishes their authority.
    Directory(PathBuf),
}

/// A certificate that the operator makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnCertificate {
    /// Namespace of the operator.
    pub namespace: String,
    /// Secret that holds the certificate and its authority.
    pub secret: String,
    /// The `MutatingWebhookConfiguration` whose `caBundle` is kept.
    pub configuration: String,
    /// Names or addresses by which the API server calls the webhook.
    pub names: Vec<String>,
    /// When what is renewed.
    pub rotation: Rotation,
}

/// Lifetimes. The authority is renewed after two thirds of its own, and so is the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Lifetime of the authority.
    pub authority: Duration,
    /// Lifetime of the certificate.
    pub certificate: Duration,
    /// How long a new authority is published before a certificate of it is used: every API server has
    /// to have heard of it.
    pub overlap: Duration,
    /// How often everything is looked at.
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
