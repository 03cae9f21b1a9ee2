//! What an operator is started with; read from the command line by `main.rs`, set directly by tests.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use api::names;
use http::Uri;

use crate::{leader::LeaderElection, webhook::WebhookSettings};

/// Image of the gateway where nothing else is said.
pub const DEFAULT_GATEWAY_IMAGE: &str =
    concat!("bedrock-access/bedrock-gateway:", env!("CARGO_PKG_VERSION"));

/// All of a million.
pub const ALL_PER_MILLION: u32 = 1_000_000;

/// Where gateways send their traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tracing {
    /// The collector, which takes OTLP over HTTP.
    pub endpoint: CollectorUrl,
    /// How many of a million traces that begin at a gateway are kept; one that a client began is kept when it is.
    pub sampling_rate_per_million: u32,
}

/// Base URL of a collector, such as `http://collector.observability.svc:4318`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectorUrl(String);

/// A text that is no base URL of a collector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the base URL of a collector that takes OTLP over HTTP, such as http://collector.observability.svc:4318"
)]
pub struct CollectorUrlError;

impl CollectorUrl {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CollectorUrl {
    type Err = CollectorUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url: Uri = text.parse().map_err(|_| CollectorUrlError)?;
        let spoken = matches!(url.scheme_str(), Some("http" | "https"));
        // A user in a URL would be a secret in plain sight.
        let plain = url
            .authority()
            .is_some_and(|host| !host.as_str().contains('@'));
        if spoken && plain && url.query().is_none() {
            Ok(Self(text.to_owned()))
        } else {
            Err(CollectorUrlError)
        }
    }
}

/// What an operator is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the gateway where the access names none.
    pub gateway_image: String,
    /// Where gateways send traces; `None`: nowhere.
    pub gateway_tracing: Option<Tracing>,
    /// Where `/metrics` is served; `None`: nowhere.
    pub metrics_address: Option<SocketAddr>,
    /// Where `/healthz` and `/readyz` are served; `None`: nowhere.
    pub health_address: Option<SocketAddr>,
    /// Where a heap profile is served; `None`: nowhere.
    pub pprof_address: Option<SocketAddr>,
    /// How the webhook that injects sidecars is served; `None`: it is not.
    pub webhook: Option<WebhookSettings>,
    /// `reportingInstance` of Events: the name of the operator's pod.
    pub instance: String,
    /// Whether the webhook reviews accesses, too, before the API server stores them.
    pub validate_accesses: bool,
    /// How replicas agree on who writes; `None`: there is one alone.
    pub leader_election: Option<LeaderElection>,
    /// Namespaces to work in; none: the whole cluster.
    pub namespaces: Vec<String>,
    /// Whether an access needs a `BedrockAccessPolicy` that allows it also while there is none.
    pub require_policy: bool,
    /// Reconciles at the same time.
    pub concurrency: u16,
    /// An access that is ready is looked at again after about this time, for what a watch cannot tell.
    pub resync: Duration,
    /// The cluster's signing keys are read again after about this time.
    pub cluster_keys_refresh: Duration,
    /// The cluster is asked again after about this time whether it serves kinds that not every cluster does.
    pub discovery_refresh: Duration,
    /// Longest wait for the API server's answer to a request; one that is lost on the way would else be
    /// waited for as long as TCP does.
    pub request_deadline: Duration,
    /// Port of the gateways' `/readyz`.
    pub gateway_admin_port: u16,
    /// Longest wait for the answer of a gateway's `/readyz`.
    pub readiness_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            gateway_image: DEFAULT_GATEWAY_IMAGE.to_owned(),
            gateway_tracing: None,
            metrics_address: None,
            health_address: None,
            pprof_address: None,
            webhook: None,
            instance: names::FIELD_MANAGER.to_owned(),
            validate_accesses: false,
            leader_election: None,
            namespaces: Vec::new(),
            require_policy: false,
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
