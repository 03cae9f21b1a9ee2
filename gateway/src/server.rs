//! Sockets: binds, accepts, and drains when it is told to end. Step 1 of a request.
//!
//! The end has an order: readiness goes off first, connections are still taken for a quiet period in
//! which routers learn of it, then no more are taken and open answers may finish; streams that have
//! not after the drain time get a proper error event, and what is left then is dropped.

pub(crate) mod admin;
mod listener;
mod reload;
pub(crate) mod router;

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::listener::Listener;
use crate::{
    config::Settings,
    pipeline::active_config::LoadError,
    server::{
        admin::admin,
        router::{State, app},
    },
};

/// How long a client may take to send the headers of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a client may take to agree on encryption.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long cut streams get to write their last event.
const CUT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause after a failed accept: out of file descriptors, most likely.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A gateway with its ports open.
#[derive(Debug)]
pub struct Server {
    state: State,
    listener: TcpListener,
    socket: Option<UnixListener>,
    admin: Option<TcpListener>,
    address: SocketAddr,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that had to be dropped.
    pub dropped: usize,
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is not usable.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// A port is taken, or the address is not of this machine.
    #[error("failed to listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The socket's folder is not there or not writable, or something else is in its place.
    #[error("failed to listen on {path}")]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Opens the ports and serves until `shutdown` is done.
///
/// # Errors
/// When the configuration is not usable or a port cannot be opened.
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
    /// When the configuration is not usable or a port cannot be opened.
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
                    tracing::warn!(address = %wanted, "the port of health and metrics is taken; going on without");
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

    /// Where the API is.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Where health, readiness and metrics are, if anywhere.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref()?.local_addr().ok()
    }

    /// What the server works with.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Serves until `shutdown` is done and the answers that were open then are.
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
        let admin_server = admin_listener.map(|listener| {
            let router = admin(state.clone());
            tokio::spawn(async move {
                let graceful = GracefulShutdown::new();
                accept(&listener, &router, &graceful, || None).await;
            })
        });

        let router = app(state.clone());
        let graceful = GracefulShutdown::new();
        let tls = || state.live().tls.clone();
        tokio::select! {
            () = accept(&listener, &router, &graceful, tls) => {}
            () = accept(&socket, &router, &graceful, || None) => {}
            () = shutdown => {}
        }
        let drain = Duration::from_secs(state.live().config.limits.drain_seconds);
        let quiet = state.settings().quiet_period.min(drain);
        tracing::info!(
            drain_seconds = drain.as_secs(),
            in_flight = state.in_flight().count(),
            "shutting down: no longer ready, open requests are finished"
        );
        state.draining().cancel();
        let _ = tokio::time::timeout(quiet, async {
            tokio::join!(
                accept(&listener, &router, &graceful, tls),
                accept(&socket, &router, &graceful, || None)
            )
        })
        .await;
        drop(listener);
        drop(socket);

        let drained = finish(&state, graceful, drain.saturating_sub(quiet)).await;
        if let Some(traces) = state.traces() {
            traces.shut_down().await;
        }
        // The last to go: it says until the end that the gateway is not ready.
        if let Some(server) = admin_server {
            server.abort();
        }
        watcher.abort();
        tracing::info!(dropped = drained.dropped, "shut down");
        drained
    }
}

/// Waits for open answers, then for streams that were told to end.
async fn finish(state: &State, graceful: GracefulShutdown, timeout: Duration) -> Drained {
    let all = graceful.shutdown();
    tokio::pin!(all);
    if tokio::time::timeout(timeout, &mut all).await.is_ok() {
        return Drained { dropped: 0 };
    }
    let left = usize::try_from(state.in_flight().count()).unwrap_or(usize::MAX);
    tracing::warn!(
        in_flight = left,
        "the drain time is over, open streams are ended"
    );
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

/// Takes connections for ever; `tls` says for each what it is encrypted with, if it is.
async fn accept(
    listener: &impl Listener,
    router: &Router,
    graceful: &GracefulShutdown,
    tls: impl Fn() -> Option<Arc<ServerConfig>>,
) {
    loop {
        match listener.next().await {
            Ok(stream) => {
                let (router, watcher) = (router.clone(), graceful.watcher());
                match tls() {
                    None => drop(tokio::spawn(connection(stream, router, watcher))),
                    Some(config) => drop(tokio::spawn(async move {
                        match handshake(stream, config).await {
                            Ok(stream) => connection(stream, router, watcher).await,
                            // A client that does not trust the certificate, or speaks plain HTTP.
                            Err(error) => tracing::debug!(%error, "a handshake failed"),
                        }
                    })),
                }
            }
            Err(error) => {
                tracing::warn!(%error, "unable to accept a connection");
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

async fn connection<S>(stream: S, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new());
    let connection = builder
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .into_owned();
    if let Err(error) = watcher.watch(connection).await {
        // Clients that leave in the middle, mostly.
        tracing::debug!(error, "a connection ended early");
    }
}

fn log_start(state: &State, address: SocketAddr) {
    let live = state.live();
    let status = live.sessions.base().status();
    for conflict in &status.choice.conflicts {
        tracing::warn!(conflict, "more than one way to AWS credentials is set");
    }
    tracing::info!(
        %address,
        region = live.routes.region().as_str(),
        credentials = status.choice.method.as_str(),
        because = status.choice.because,
        models = live.config.models.len(),
        open = live.authenticator.is_open(),
        encrypted = live.tls.is_some(),
        traced = state.traces().is_some(),
        "serving"
    );
}
