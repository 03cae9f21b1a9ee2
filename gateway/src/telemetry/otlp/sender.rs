//! Sends exports with the gateway's HTTP client.
//!
//! The thread that exports spans has no runtime, so requests run in the gateway's.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use credentials::Proxies;
use http::{Request, Response};
use http_body_util::{BodyExt, Limited};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::{runtime::Handle, time::timeout};

use super::{
    grpc::{self, Failed},
    signal::{Protocol, Signal},
};
use crate::http::{
    client::{self, Client},
    error::causes,
    payload::Payload,
};

/// OpenTelemetry's default timeout for a collector.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Largest response of a collector.
const MAX_RESPONSE_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Sender {
    signal: &'static Signal,
    protocol: Protocol,
    client: Client,
    runtime: Handle,
    /// Whether the last export failed; a change is logged.
    failing: AtomicBool,
}

impl Sender {
    /// Sends in the current runtime.
    ///
    /// # Errors
    /// When TLS is not available.
    pub(crate) fn new(signal: &'static Signal, protocol: Protocol) -> Result<Self, rustls::Error> {
        let (tls, proxies) = (client::tls()?, Proxies::default());
        Ok(Self {
            signal,
            protocol,
            client: match protocol {
                Protocol::Http => client::connect(tls, &proxies),
                Protocol::Grpc => client::connect_http2(tls, &proxies),
            },
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        })
    }

    /// Waits for a future, in a thread without a runtime.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Logs once that the collector is unavailable, and once that it has recovered.
    fn log_change(&self, url: &str, sent: &Result<Response<Bytes>, HttpError>) {
        let why = match sent {
            Ok(response) if response.status().is_success() => None,
            Ok(response) => Some(match response.extensions().get::<Failed>() {
                Some(failed) => failed.to_string(),
                None => response.status().to_string(),
            }),
            Err(error) => Some(causes(error.as_ref())),
        };
        let before = self.failing.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(error) if !before => {
                tracing::warn!(
                    signal = self.signal.name,
                    url,
                    error,
                    "collector unavailable; data is dropped while its queue is full"
                );
            }
            None if before => {
                tracing::info!(signal = self.signal.name, url, "collector available again");
            }
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let protocol = self.protocol;
        let request = match protocol {
            Protocol::Http => request,
            Protocol::Grpc => grpc::request(request, self.signal.method)?,
        };
        let url = request.uri().to_string();
        let exchange = async move {
            let response = client.request(request.map(Payload::from)).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_RESPONSE_BYTES).collect().await?;
            Ok(match protocol {
                Protocol::Http => Response::from_parts(parts, body.to_bytes()),
                Protocol::Grpc => grpc::response(parts, body),
            })
        };
        // Timers need a runtime, and this thread has none.
        let sent = self
            .runtime
            .spawn(async { timeout(TIMEOUT, exchange).await });
        let sent = match sent.await {
            Ok(Ok(result)) => result,
            Ok(Err(elapsed)) => Err(HttpError::from(elapsed)),
            Err(stopped) => Err(HttpError::from(stopped)),
        };
        self.log_change(&url, &sent);
        sent
    }
}
