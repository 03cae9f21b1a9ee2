//! Serves a connection with the protocol that its client has shown, until it ends or its port shuts down.

use std::{
    future::poll_fn,
    net::IpAddr,
    pin::{Pin, pin},
    task::{Poll, ready},
    time::Duration,
};

use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{
    Port,
    connections::{Client, Place},
    guarded_io::Guarded,
    own_wakes::OwnWakes,
};
use crate::http::rare::Rare;

/// Interval of pings to HTTP/2 clients, and time in which they must respond.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// The shutdown of connections: each finishes its request.
#[derive(Debug)]
pub(super) struct Shutdown(watch::Sender<()>);

/// Tells a connection of the shutdown, which waits until all of these are dropped.
#[derive(Debug)]
pub(super) struct Closing(watch::Receiver<()>);

impl Shutdown {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(()))
    }

    pub(super) fn closing(&self) -> Closing {
        Closing(self.0.subscribe())
    }

    /// Begins the shutdown, and waits until all connections have ended.
    pub(super) async fn shutdown(self) {
        self.0.send_replace(());
        self.0.closed().await;
    }
}

impl Closing {
    async fn begun(&mut self) {
        // An error means that the server was dropped.
        let _ = self.0.changed().await;
    }
}

/// Serves the requests of a connection.
pub(super) async fn serve_connection<S>(
    stream: S,
    address: Option<IpAddr>,
    port: Port,
    place: Place,
    mut closing: Closing,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let settings = port.state.settings();
    let mut stream = Guarded::new(stream, settings.detect_timeout, settings.write_timeout);
    let is_http2 = tokio::select! {
        biased;
        shown = stream.is_http2() => shown,
        () = closing.begun() => return,
        () = place.closing() => return,
    };
    let is_http2 = match is_http2 {
        Ok(is_http2) => is_http2,
        Err(error) => return log(&error),
    };
    let keep_alive = port.state.active().config.limits.keep_alive_seconds;
    let failures = port.failures;
    let service = place.service(port.app, Client { address, failures });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_INTERVAL)
            .keep_alive_timeout(PING_TIMEOUT)
            .serve_connection(stream, service);
        // On the heap, because most connections use HTTP/1.1 and would have its size.
        run(Box::pin(connection).as_mut(), &place, closing).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // From the end of a response to the end of the next request's headers.
            .header_read_timeout(Duration::from_secs(keep_alive))
            .serve_connection(stream, service);
        run(pin!(connection), &place, closing).await;
    }
}

/// What ends a connection from outside.
enum Signal {
    Replaced,
    Shutdown,
}

/// Drives a connection.
async fn run<C>(mut connection: Pin<&mut C>, place: &Place, mut closing: Closing)
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let (mut replaced, mut shutdown) = (pin!(place.closing()), pin!(closing.begun()));
    let mut is_closing = false;
    let (own_wakes, rare) = (OwnWakes::new(), Rare::new());
    let ended = poll_fn(|cx| {
        loop {
            let polled = own_wakes.poll(cx, |cx| connection.as_mut().poll(cx));
            if let Poll::Ready(ended) = polled {
                return Poll::Ready(ended);
            }
            let signal = rare.poll(cx, |cx| {
                if replaced.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(Signal::Replaced);
                }
                if is_closing {
                    return Poll::Pending;
                }
                shutdown.as_mut().poll(cx).map(|()| Signal::Shutdown)
            });
            match ready!(signal) {
                Signal::Replaced => return Poll::Ready(Ok(())),
                Signal::Shutdown => {
                    is_closing = true;
                    connection.as_mut().graceful_shutdown();
                }
            }
        }
    })
    .await;
    if let Err(error) = ended {
        log(&error);
    }
}

/// Usually a client that disconnected.
fn log(error: &(dyn std::error::Error + 'static)) {
    tracing::debug!(error, "connection ended early");
}
