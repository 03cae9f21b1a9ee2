//! The operator: creates a ServiceAccount, a gateway Deployment with its configuration, a Service and a status for each
//! `BedrockAccess`.
//!
//! `access.rs` contains the steps of a reconcile: observe, validate, build, apply, status. `sidecar.rs` contains the
//! gateway as a sidecar. The operator never calls AWS and reads no Secret except those with certificates that it created:
//! its webhook's, and one in each namespace for gateways.

mod access;
mod admission;
mod cache;
mod certificates;
mod cluster_keys;
mod console;
mod deadline;
mod discovery;
mod error_chain;
#[cfg(test)]
mod fixtures;
mod gateway_defaults;
mod leader;
mod metrics;
mod owned;
mod policy;
mod poll;
mod queue;
mod retry;
mod run;
mod server;
mod settings;
mod share_key;
mod sidecar;
mod watches;
mod webhook;

pub use console::{ConsoleSettings, DEFAULT_CONSOLE_ADDRESS};
pub use gateway_defaults::{GatewayDefaults, GatewayDefaultsError, ProxySettings, SidecarDefaults};
pub use leader::{LeaderElection, Timing};
pub use run::{RunError, run};
pub use settings::{
    ALL_PER_MILLION, CollectorUrl, CollectorUrlError, DEFAULT_CLUSTER_DOMAIN,
    DEFAULT_GATEWAY_IMAGE, Settings, Tracing,
};
pub use webhook::{CertificateSource, OwnCertificate, Rotation, ServeError, WebhookSettings};

/// Installs the TLS provider of the process; call it once, before the first client is created.
pub fn install_tls_provider() {
    // An error means that a provider is already installed.
    let _installed = rustls::crypto::ring::default_provider().install_default();
}
