//! A running double: start, addresses, recorded calls, faults, shutdown.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::account::{Account, AccountError};
use crate::bedrock::{Bedrock, CatalogError};
use crate::clock::Clock;
use crate::config::{Config, JwksSource, OidcProvider};
use crate::endpoints::github;
use crate::endpoints::instance::MetadataTokens;
use crate::fault::{Fault, Faults};
use crate::issuer::{IssuerError, TokenIssuer};
use crate::ledger::Ledger;
use crate::record::{Call, Recorder};
use crate::server::{Listener, Shared, handle};
use crate::web_identity::Verifier;

/// A simulated AWS on one address. Dropping it stops the servers.
#[derive(Debug)]
pub struct Double {
    address: SocketAddr,
    mantle: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

/// The reason why a double did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is in use or does not belong to this machine.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system error.
        source: std::io::Error,
    },
    /// A policy in the configuration does not parse.
    #[error("failed to read the configuration")]
    Config(#[source] AccountError),
    /// A configured model matches no family.
    #[error("failed to read the models")]
    Models(#[source] CatalogError),
    /// The key of a token issuer could not be generated.
    #[error("failed to generate a key")]
    Key(#[source] IssuerError),
}

impl Double {
    /// Starts on a free loopback port in the current tokio runtime.
    ///
    /// # Errors
    /// If a policy in the configuration does not parse, or no port is free.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_on(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await
    }

    /// Starts on an address.
    ///
    /// # Errors
    /// As [`Double::start`].
    pub async fn start_on(config: Config, address: SocketAddr) -> Result<Self, StartError> {
        Self::start_on_both(config, address, SocketAddr::new(address.ip(), 0)).await
    }

    /// Starts on two addresses; the second one simulates `bedrock-mantle.REGION.api.aws`.
    ///
    /// # Errors
    /// As [`Double::start`].
    pub async fn start_on_both(
        config: Config,
        address: SocketAddr,
        mantle: SocketAddr,
    ) -> Result<Self, StartError> {
        let mut providers = config.oidc_providers.clone();
        let github = match &config.github {
            Some(_) => Some(TokenIssuer::generate(github::ISSUER).map_err(StartError::Key)?),
            None => None,
        };
        if let Some(issuer) = &github {
            providers.push(OidcProvider {
                issuer: github::ISSUER.to_owned(),
                audiences: vec!["sts.amazonaws.com".to_owned()],
                jwks: JwksSource::Inline {
                    inline: issuer.jwks(),
                },
            });
        }
        let shared = Arc::new(Shared {
            verifier: Verifier::new(providers),
            bedrock: Bedrock::new(&config).map_err(StartError::Models)?,
            github,
            metadata_tokens: MetadataTokens::default(),
            recorder: Recorder::new(config.keep_calls),
            ledger: Ledger::default(),
            account: Account::new(config).map_err(StartError::Config)?,
            clock: Clock::default(),
            faults: Faults::default(),
        });
        let stop = CancellationToken::new();
        let mut servers = Vec::new();
        let runtime = Listener {
            shared: Arc::clone(&shared),
            mantle: false,
        };
        let (address, server) = serve(address, runtime, &stop).await?;
        servers.push(server);
        let listener = Listener {
            shared: Arc::clone(&shared),
            mantle: true,
        };
        let (mantle, server) = serve(mantle, listener, &stop).await?;
        servers.push(server);
        Ok(Self {
            address,
            mantle,
            shared,
            stop,
            servers,
        })
    }

    /// The listening address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL_STS`, `…_BEDROCK_RUNTIME` and `…_BEDROCK`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The URL that simulates `bedrock-mantle.REGION.api.aws`, a separate host with its own endpoints.
    pub fn mantle_url(&self) -> String {
        format!("http://{}", self.mantle)
    }

    /// All recorded calls, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.recorder.calls()
    }

    /// The recorded calls of one operation.
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls
    }

    /// Number of calls by operation, including calls that are no longer recorded.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.recorder.counts()
    }

    /// Deletes all recorded calls.
    pub fn clear_calls(&self) {
        self.shared.recorder.clear();
    }

    /// The records of Bedrock's model invocation log, oldest first.
    pub fn invocation_log(&self) -> Vec<serde_json::Value> {
        self.shared.ledger.invocation_log()
    }

    /// The line items of a CUR 2.0 export, as CSV.
    pub fn cost_and_usage(&self) -> String {
        self.shared.ledger.line_items()
    }

    /// Appends every finished call to a file of JSON lines.
    ///
    /// # Errors
    /// If the file cannot be opened.
    pub fn record_to(&self, path: &Path) -> std::io::Result<()> {
        self.shared.recorder.write_to(path)
    }

    /// Adds a fault.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Expires all issued sessions: their requests fail with `ExpiredTokenException`.
    pub fn revoke_sessions(&self) -> usize {
        self.shared.account.revoke_sessions()
    }

    /// Deletes all issued sessions: their requests fail with `UnrecognizedClientException`.
    pub fn forget_sessions(&self) -> usize {
        self.shared.account.forget_sessions()
    }

    /// Sets the lifetime in seconds of sessions that are issued later; `None` for AWS's rules.
    pub fn set_credential_lifetime(&self, seconds: Option<u64>) {
        self.shared.account.set_lifetime(seconds);
    }

    /// Sets AWS's clock ahead of the machine's clock (negative: behind).
    pub fn set_clock_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Stops listening and waits until all connections are closed.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        for server in self.servers.drain(..) {
            let _ = server.await;
        }
    }
}

impl Drop for Double {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Listens on an address until `stop` is cancelled.
async fn serve(
    address: SocketAddr,
    state: Listener,
    stop: &CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
    let failed = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    let app = Router::new().fallback(handle).with_state(state);
    let stopped = stop.clone();
    let server = tokio::spawn(async move {
        let serve = axum::serve(listener, app)
            .with_graceful_shutdown(async move { stopped.cancelled().await });
        if let Err(error) = serve.await {
            tracing::error!(%error, "server failed");
        }
    });
    Ok((address, server))
}
