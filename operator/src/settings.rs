//! Settings of the operator. `main.rs` reads them from the command line; tests set them directly.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use api::{names, v1alpha1::gateway::ImagePullPolicy};
use http::Uri;

use crate::{
    console::ConsoleSettings,
    gateway_defaults::GatewayDefaults,
    leader::LeaderElection,
    webhook::{Rotation, WebhookSettings},
};

/// Default image of the gateway.
pub const DEFAULT_GATEWAY_IMAGE: &str =
    concat!("bedrock-access/bedrock-gateway:", env!("CARGO_PKG_VERSION"));

/// Default DNS domain of a cluster.
pub const DEFAULT_CLUSTER_DOMAIN: &str = "cluster.local";

/// Lifetimes of the certificates of gateways. Apps read the CA when they start, so both CAs are published for weeks, less than the
/// third of a certificate's lifetime that remains when it is due. Reconciles check them: `check` is not used.
const GATEWAY_CERTIFICATES: Rotation = Rotation {
    authority: Duration::from_hours(24 * 730),
    certificate: Duration::from_hours(24 * 90),
    overlap: Duration::from_hours(24 * 14),
    check: Duration::ZERO,
};

/// A sampling rate of 100 %.
pub const ALL_PER_MILLION: u32 = 1_000_000;

/// Exports of the gateways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// Collector that accepts OTLP over HTTP.
    pub endpoint: CollectorUrl,
    /// How many of a million new traces are kept. If the client sends a sampling decision, that decision applies.
    pub sampling_rate_per_million: u32,
    /// Whether audit records are exported, too, instead of written.
    pub audit_records: bool,
}

/// Base URL of a collector, such as `http://collector.observability.svc:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(String);

/// The text is not the base URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a collector URL: expected a base URL for OTLP over HTTP, such as http://collector.observability.svc:4318"
)]
pub struct CollectorUrlError;

impl CollectorUrl {
    /// The URL as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CollectorUrl {
    type Err = CollectorUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Uri = text.parse().map_err(|_| CollectorUrlError)?;
        let supported = matches!(url.scheme_str(), Some("http" | "https"));
        // Credentials in a URL would be readable in the pod spec.
        let plain = url
            .authority()
            .is_some_and(|host| !host.as_str().contains('@'));
        if supported && plain && url.query().is_none() {
            Ok(Self(text.to_owned()))
        } else {
            Err(CollectorUrlError)
        }
    }
}

/// Settings of the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Image of the gateway if `spec.gateway.image` is not set.
    pub gateway_image: String,
    /// Pull policy of the gateway's image if `spec.gateway.imagePullPolicy` is not set.
    pub gateway_image_pull_policy: ImagePullPolicy,
    /// Where gateways send traces; `None`: tracing is disabled.
    pub gateway_tracing: Option<Tracing>,
    /// OpenTelemetry's conventions for the metrics of gateways, as the value of its variable; `None`: the gateway's default.
    pub gateway_conventions: Option<String>,
    /// Whether all gateways write audit records.
    pub gateway_audit: bool,
    /// Defaults of the platform for gateways.
    pub gateway_defaults: GatewayDefaults,
    /// Address of `/metrics`; `None`: not served.
    pub metrics_address: Option<SocketAddr>,
    /// Address of `/healthz` and `/readyz`; `None`: not served.
    pub health_address: Option<SocketAddr>,
    /// The console; `None`: not served.
    pub console: Option<ConsoleSettings>,
    /// The webhook that injects sidecars; `None`: not served.
    pub webhook: Option<WebhookSettings>,
    /// `reportingInstance` of Events: the name of the operator's pod.
    pub instance: String,
    /// Whether the webhook also validates `BedrockAccess` objects before the API server stores them. Reconciles then rely
    /// on it for the permissions of authors.
    pub validation_webhook: bool,
    /// Leader election between replicas; `None`: this is the only replica.
    pub leader_election: Option<LeaderElection>,
    /// Namespaces to reconcile; empty: all namespaces.
    pub namespaces: Vec<String>,
    /// Whether a `BedrockAccess` needs a `BedrockAccessPolicy` that allows it, even if the cluster has no policy.
    pub require_policy: bool,
    /// DNS domain of the cluster, for the names in certificates of gateways.
    pub cluster_domain: String,
    /// Lifetimes of the certificates of gateways that the operator creates.
    pub gateway_certificates: Rotation,
    /// Public key of this process for shares of budgets, in hexadecimal.
    pub share_public_key: String,
    /// Maximum concurrent reconciles.
    pub concurrency: u16,
    /// Interval between reconciles of a ready `BedrockAccess`, for changes that no watch reports.
    pub resync: Duration,
    /// Interval between reads of the cluster's token signing keys.
    pub cluster_keys_refresh: Duration,
    /// Interval between discovery requests for the optional kinds.
    pub discovery_refresh: Duration,
    /// Timeout of a request to the API server. Without it, a response lost on the network would block the caller until
    /// TCP gives up.
    pub request_deadline: Duration,
    /// Port of the gateways' `/readyz`.
    pub gateway_admin_port: u16,
    /// Timeout of a request to a gateway's `/readyz`.
    pub readiness_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway_image: DEFAULT_GATEWAY_IMAGE.to_owned(),
            gateway_image_pull_policy: ImagePullPolicy::default(),
            gateway_tracing: None,
            gateway_conventions: None,
            gateway_audit: false,
            gateway_defaults: GatewayDefaults::default(),
            metrics_address: None,
            health_address: None,
            console: None,
            webhook: None,
            instance: names::FIELD_MANAGER.to_owned(),
            validation_webhook: true,
            leader_election: None,
            namespaces: Vec::new(),
            require_policy: false,
            cluster_domain: DEFAULT_CLUSTER_DOMAIN.to_owned(),
            gateway_certificates: GATEWAY_CERTIFICATES,
            share_public_key: String::new(),
            concurrency: 16,
            resync: Duration::from_mins(10),
            cluster_keys_refresh: Duration::from_mins(10),
            discovery_refresh: Duration::from_mins(5),
            request_deadline: Duration::from_secs(30),
            gateway_admin_port: names::GATEWAY_ADMIN_PORT,
            readiness_timeout: Duration::from_secs(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collector_has_a_url_without_secrets() {
        for text in [
            "http://collector:4318",
            "https://otlp.example/v2",
            "http://[::1]:4318",
        ] {
            assert_eq!(text.parse::<CollectorUrl>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "collector:4318",
            "collector",
            "grpc://collector:4317",
            "http://",
            "http://user:key@collector:4318",
            "http://collector:4318?key=1",
        ] {
            assert_eq!(
                text.parse::<CollectorUrl>(),
                Err(CollectorUrlError),
                "{text}"
            );
        }
    }
}
