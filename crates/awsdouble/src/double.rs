//! A running double: start, address, record, faults, end.

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
use crate::record::{Call, Recorder};
use crate::server::{Entrance, Shared, handle};
use crate::web_identity::Verifier;

/// A simulated AWS on one address. Dropping it ends it.
#[derive(Debug)]
pub struct Double {
    address: SocketAddr,
    mantle: SocketAddr,
    shared: Arc<Shared>,
    stop: CancellationToken,
    servers: Vec<JoinHandle<()>>,
}

/// Why a double did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address is taken or not of this machine.
    #[error("failed to listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A policy in the configuration does not parse.
    #[error("failed to read the configuration")]
    Config(#[source] AccountError),
    /// A model in the configuration is of no known family.
    #[error("failed to read the models")]
    Models(#[source] CatalogError),
    /// The key of a token issuer could not be made.
    #[error("failed to make a key")]
    Key(#[source] IssuerError),
}

impl Double {
    /// Starts on a free loopback port, within the current tokio runtime.
    ///
    /// # Errors
    /// When the configuration holds a policy that does not parse, or no port is free.
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

    /// Starts on an address, and on another one that stands for `bedrock-mantle.REGION.api.aws`.
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
            account: Account::new(config).map_err(StartError::Config)?,
            clock: Clock::default(),
            faults: Faults::default(),
        });
        let stop = CancellationToken::new();
        let mut servers = Vec::new();
        let main = Entrance {
            shared: Arc::clone(&shared),
            mantle: false,
        };
        let (address, server) = serve(address, main, &stop).await?;
        servers.push(server);
        let entrance = Entrance {
            shared: Arc::clone(&shared),
            mantle: true,
        };
        let (mantle, server) = serve(mantle, entrance, &stop).await?;
        servers.push(server);
        Ok(Self {
            address,
            mantle,
            shared,
            stop,
            servers,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://127.0.0.1:PORT`, for `AWS_ENDPOINT_URL_STS`, `…_BEDROCK_RUNTIME` and `…_BEDROCK`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same for `bedrock-mantle.REGION.api.aws`, a host of its own with endpoints of its own.
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

    /// How often each operation was called, also when the record no longer holds the calls.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        self.shared.recorder.counts()
    }

    /// Forgets the calls so far.
    pub fn clear_calls(&self) {
        self.shared.recorder.clear();
    }

    /// Appends every finished call to a file of JSON lines.
    ///
    /// # Errors
    /// When the file cannot be opened.
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

    /// Expires every session issued so far: their holders get `ExpiredTokenException`.
    pub fn revoke_sessions(&self) -> usize {
        self.shared.account.revoke_sessions()
    }

    /// Forgets every session issued so far: their holders get `UnrecognizedClientException`.
    pub fn forget_sessions(&self) -> usize {
        self.shared.account.forget_sessions()
    }

    /// Lifetime of sessions issued from now on, in seconds; `None`: AWS's rules.
    pub fn set_credential_lifetime(&self, seconds: Option<u64>) {
        self.shared.account.set_lifetime(seconds);
    }

    /// Sets AWS's clock ahead of the machine's (negative: behind).
    pub fn set_clock_skew(&self, seconds: i64) {
        self.shared.clock.set_skew(seconds);
    }

    /// Stops listening and waits until the connections have ended.
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

/// Listens on an address until told to stop.
async fn serve(
    address: SocketAddr,
    entrance: Entrance,
    stop: &CancellationToken,
) -> Result<(SocketAddr, JoinHandle<()>), StartError> {
    let listen = |source| StartError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let app = Router::new().fallback(handle).with_state(entrance);
    let stopped = stop.clone();
    let server = tokio::spawn(async move {
        let serve = axum::serve(listener, app)
            .with_graceful_shutdown(async move { stopped.cancelled().await });
        if let Err(error) = serve.await {
            tracing::error!(%error, "the double ended");
        }
    });
    Ok((address, server))
}
