//! The operator: from a `BedrockAccess` to a ServiceAccount, a gateway Deployment, its configuration and
//! Service, and a status that says how it went.
//!
//! The way of a reconcile is in `access.rs`: observe, validate, build, apply, status. The gateway as a
//! sidecar is in `sidecar.rs`. It never calls AWS and reads no Secret but that of its webhook's certificate.

mod access;
mod admission;
mod cache;
mod certificates;
mod children;
mod cluster_keys;
mod deadline;
mod discovery;
#[cfg(test)]
mod fixtures;
mod heap;
mod leader;
mod metrics;
mod policy;
mod queue;
mod retry;
mod run;
mod server;
mod settings;
mod sidecar;
mod watches;
mod webhook;

pub use leader::{LeaderElection, Timing};
pub use run::{RunError, run};
pub use settings::{
    ALL_PER_MILLION, CollectorUrl, CollectorUrlError, DEFAULT_GATEWAY_IMAGE, Settings, Tracing,
};
pub use webhook::{CertificateSource, OwnCertificate, Rotation, ServeError, WebhookSettings};

/// Chooses the process's TLS provider; to be called once, before the first client is made.
pub fn install_tls_provider() {
    // An error means that one is installed already, which is what is asked for.
    let _already = rustls::crypto::ring::default_provider().install_default();
}
