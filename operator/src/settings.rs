//! What an operator is started with; read from the command line by `main.rs`, set directly by tests.

use std::{net::SocketAddr, time::Duration};

use api::names;

use crate::{leader::LeaderElection, webhook::WebhookSettings};

/// Image of the gateway where nothing else is said.
pub const DEFAULT_GATEWAY_IMAGE: &str =
    concat!("bedrock-access/bedrock-gateway:", env!("CARGO_PKG_VERSION"));

/// What an operator is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Image of the gateway where the access names none.
    pub gateway_image: String,
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
