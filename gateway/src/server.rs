//! The server: opens ports, accepts connections and drains at shutdown.
//!
//! Shutdown: the gateway becomes unready but accepts connections for a quiet period, until load balancers have removed
//! it. Then it stops accepting and open requests may finish. After the drain time, open streams end with an error
//! event, and remaining connections are dropped.

pub(crate) mod admin;
mod connections;
mod exports;
mod failures;
mod guarded_io;
mod listener;
mod overhead;
mod own_wakes;
mod protocol;
mod reload;
pub(crate) mod router;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::{
    admin::admin,
    connections::Connections,
    failures::Failures,
    listener::Listener,
    protocol::{Shutdown, serve_connection},
    router::App,
};
use crate::{
    config::Settings,
    measure::{self, Step},
    pipeline::{load_error::LoadError, state::State},
};

/// Time for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time in which cut streams must send their last event.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);
/// Time in which the costs of the last requests are settled with the store.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept, whose usual cause is too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A gateway with open ports.
#[derive(Debug)]
pub struct Server {
    state: State,
    listener: TcpListener,
    socket: Option<UnixListener>,
    admin: Option<TcpListener>,
    address: SocketAddr,
}

/// Result of draining a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Number of dropped requests.
    pub dropped: usize,
}

/// The server failed to start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is unusable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The port is in use, or the address does not belong to this machine.
    #[error("failed to listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// The socket's directory is missing or not writable, or the path is not a socket.
    #[error("failed to listen on {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
}

/// Opens the ports and serves until `shutdown` completes.
///
/// # Errors
/// When the configuration is unusable or a port cannot be opened.
pub async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<Drained, ServeError> {
    Ok(Server::bind(settings).await?.run(shutdown).await)
}

impl Server {
    /// Reads the configuration and opens the ports.
    ///
    /// # Errors
    /// When the configuration is unusable or a port cannot be opened.
    pub async fn bind(settings: Settings) -> Result<Self, ServeError> {
        let state = State::try_new(settings).await?;
        let settings = state.settings();
        let listener = bind(settings.listen).await?;
        let address = listener.local_addr().map_err(|source| ServeError::Bind {
            address: settings.listen,
            source,
        })?;
        let socket = settings
            .socket
            .as_ref()
            .map(|path| {
                listener::socket(path).map_err(|source| ServeError::Socket {
                    path: path.clone(),
                    source,
                })
            })
            .transpose()?;
        let admin = match settings.admin_listen {
            None => None,
            Some(wanted) => match bind(wanted).await {
                Ok(listener) => Some(listener),
                Err(error) if settings.admin_required => return Err(error),
                Err(_) => {
                    tracing::warn!(address = %wanted, "admin port in use; health, readiness and metrics are not served");
                    None
                }
            },
        };
        Ok(Self {
            state,
            listener,
            socket,
            admin,
            address,
        })
    }

    /// Address of the API.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Address of health, readiness and metrics, if served.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// The shared state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Serves until `shutdown` completes and open requests have finished.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Drained {
        let Self {
            state,
            listener,
            socket,
            admin: admin_listener,
            address,
        } = self;
        log_start(&state, address);
        let watcher = tokio::spawn(reload::watch(state.clone()));
        let exports = tokio::spawn(exports::run(state.clone()));
        let admin_server = admin_listener.map(|listener| {
            let app = App::Admin(admin(state.clone()));
            let connections = Connections::new(connections::MAX_ADMIN);
            let port = Port::new(app, connections, &state);
            tokio::spawn(async move {
                let graceful = Shutdown::new();
                accept(&listener, &port, &graceful, || None).await;
            })
        });

        let max = state.settings().max_connections;
        let connections = Connections::new(max.unwrap_or_else(connections::permitted));
        let by_socket = App::api(state.clone(), true);
        let on_socket = Port::new(by_socket, Arc::clone(&connections), &state);
        let on_tcp = Port::new(App::api(state.clone(), false), connections, &state);
        let graceful = Shutdown::new();
        let tls = || state.active().tls.clone();
        tokio::select! {
            () = accept(&listener, &on_tcp, &graceful, tls) => {}
            () = accept(&socket, &on_socket, &graceful, || None) => {}
            () = shutdown => {}
        }
        let drain = Duration::from_secs(state.active().config.limits.drain_seconds);
        let quiet = state.settings().quiet_period.min(drain);
        tracing::info!(
            drain_seconds = drain.as_secs(),
            in_flight = state.in_flight().count(),
            "shutting down: unready, finishing open requests"
        );
        state.draining().cancel();
        let _ = tokio::time::timeout(quiet, async {
            tokio::join!(
                accept(&listener, &on_tcp, &graceful, tls),
                accept(&socket, &on_socket, &graceful, || None)
            )
        })
        .await;
        drop(listener);
        drop(socket);

        let drained = finish(&state, graceful, drain.saturating_sub(quiet)).await;
        if let Some(budgets) = &state.active().budgets {
            budgets.flush(SETTLE_TIMEOUT).await;
        }
        if let Some(audit) = state.audit() {
            audit.flush().await;
        }
        exports.abort();
        let traces = async {
            if let Some(traces) = state.traces() {
                traces.shut_down().await;
            }
        };
        tokio::join!(traces, exports::last(&state));
        // Last, since it reports until the end that the gateway is not ready.
        if let Some(server) = admin_server {
            server.abort();
        }
        watcher.abort();
        tracing::info!(dropped = drained.dropped, "shut down");
        drained
    }
}

/// Waits for open requests, then for cut streams.
async fn finish(state: &State, graceful: Shutdown, timeout: Duration) -> Drained {
    let all = graceful.shutdown();
    tokio::pin!(all);
    if tokio::time::timeout(timeout, &mut all).await.is_ok() {
        return Drained { dropped: 0 };
    }
    let open = usize::try_from(state.in_flight().count()).unwrap_or(usize::MAX);
    tracing::warn!(in_flight = open, "drain time exceeded; ending open streams");
    state.cut().cancel();
    match tokio::time::timeout(CUT_TIMEOUT, &mut all).await {
        Ok(()) => Drained { dropped: 0 },
        Err(_elapsed) => Drained {
            dropped: usize::try_from(state.in_flight().count()).unwrap_or(usize::MAX),
        },
    }
}

async fn bind(address: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
}

/// What connections of a port share.
#[derive(Clone)]
struct Port {
    app: App,
    connections: Arc<Connections>,
    failures: Arc<Failures>,
    state: State,
}

impl Port {
    fn new(app: App, connections: Arc<Connections>, state: &State) -> Self {
        Self {
            app,
            connections,
            failures: Failures::new(),
            state: state.clone(),
        }
    }
}

/// Accepts connections forever; `tls` returns the TLS settings for each, if any.
async fn accept(
    listener: &impl Listener,
    port: &Port,
    graceful: &Shutdown,
    tls: impl Fn() -> Option<Arc<ServerConfig>>,
) {
    loop {
        match listener.next().await {
            Ok((stream, address)) => {
                let Some(place) = port.connections.enter() else {
                    tracing::debug!("connection closed: too many connections with requests");
                    continue;
                };
                let (port, closing) = (port.clone(), graceful.closing());
                match tls() {
                    None => drop(tokio::spawn(measure::task(
                        Step::Server,
                        serve_connection(stream, address, port, place, closing),
                    ))),
                    Some(config) => drop(tokio::spawn(measure::task(Step::Server, async move {
                        match handshake(stream, config).await {
                            Ok(stream) => {
                                serve_connection(stream, address, port, place, closing).await;
                            }
                            // A client that does not trust the certificate, or uses plain HTTP.
                            Err(error) => tracing::debug!(%error, "TLS handshake failed"),
                        }
                    }))),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn handshake<S>(stream: S, config: Arc<ServerConfig>) -> std::io::Result<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let accepting = TlsAcceptor::from(config).accept(stream);
    tokio::time::timeout(HANDSHAKE_TIMEOUT, accepting).await?
}

fn log_start(state: &State, address: SocketAddr) {
    let active = state.active();
    let status = active.credentials.base().status();
    tracing::info!(
        %address,
        region = active.routes.region().as_str(),
        credentials = status.choice.method.as_str(),
        because = status.choice.because,
        models = active.config.models.len(),
        open = active.authenticator.is_open(),
        encrypted = active.tls.is_some(),
        traced = state.traces().is_some(),
        "serving"
    );
}
