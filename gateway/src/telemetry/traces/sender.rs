//! Sends a batch of spans over the connections that the rest of the gateway uses.
//!
//! The exporter runs in a thread of its own, without a runtime; what it sends is sent in the gateway's.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use opentelemetry_http::{HttpClient, HttpError};
use tokio::{runtime::Handle, time::timeout};

use crate::http::{client::Client, error::causes};

/// OpenTelemetry's own timeout with a collector.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer that is read; a collector has next to nothing to say.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Sender {
    client: Client,
    runtime: Handle,
    /// Whether the last batch was not taken, which is told when it changes.
    failing: AtomicBool,
}

impl Sender {
    /// Sends in the runtime it is made in.
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            runtime: Handle::current(),
            failing: AtomicBool::new(false),
        }
    }

    /// Tells that the collector takes no spans, or takes them again; once each.
    fn tell(&self, url: &str, sent: &Result<Response<Bytes>, HttpError>) {
        let why = match sent {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(answer.status().to_string()),
            Err(error) => Some(causes(error.as_ref())),
        };
        let before = self.failing.swap(why.is_some(), Ordering::Relaxed);
        match why {
            Some(error) if !before => {
                tracing::warn!(
                    url,
                    error,
                    "the collector takes no spans; those that do not fit the queue are lost"
                );
            }
            None if before => tracing::info!(url, "the collector takes spans again"),
            _ => {}
        }
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let url = request.uri().to_string();
        let exchange = async move {
            let answer = client.request(request.map(Full::new)).await?;
            let (parts, body) = answer.into_parts();
            let body = Limited::new(body, MAX_ANSWER_BYTES).collect().await?;
            Ok(Response::from_parts(parts, body.to_bytes()))
        };
        // Timers belong to a runtime, and this thread has none.
        let sent = self
            .runtime
            .spawn(async { timeout(TIMEOUT, exchange).await });
        let sent = match sent.await {
            Ok(Ok(answered)) => answered,
            Ok(Err(elapsed)) => Err(HttpError::from(elapsed)),
            Err(stopped) => Err(HttpError::from(stopped)),
        };
        self.tell(&url, &sent);
        sent
    }
}
