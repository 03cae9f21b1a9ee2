//! An OpenTelemetry collector that keeps what it gets.

use std::sync::{Arc, Mutex};

use axum::{Router, extract::State, routing::post};
use bytes::Bytes;
use http::HeaderMap;
use opentelemetry_proto::tonic::{
    collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse},
    trace::v1::Span,
};
use prost::Message;

use crate::rig::eventually;

/// The requests to a collector.
#[derive(Clone, Debug, Default)]
pub(super) struct Collected(pub(super) Arc<Mutex<Vec<(HeaderMap, Bytes)>>>);

pub(super) struct Collector {
    pub(super) url: String,
    pub(super) collected: Collected,
}

async fn take(State(collected): State<Collected>, headers: HeaderMap, body: Bytes) -> Vec<u8> {
    collected.0.lock().unwrap().push((headers, body));
    ExportTraceServiceResponse::default().encode_to_vec()
}

impl Collector {
    pub(super) async fn start() -> Self {
        let collected = Collected::default();
        let router = Router::new()
            .route("/v1/traces", post(take))
            .with_state(collected.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, collected }
    }

    pub(super) fn requests(&self) -> Vec<ExportTraceServiceRequest> {
        let sent = self.collected.0.lock().unwrap();
        let decode =
            |(_, body): &(_, Bytes)| ExportTraceServiceRequest::decode(body.clone()).unwrap();
        sent.iter().map(decode).collect()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        let resources = self
            .requests()
            .into_iter()
            .flat_map(|sent| sent.resource_spans);
        resources
            .flat_map(|resource| resource.scope_spans)
            .flat_map(|scope| scope.spans)
            .collect()
    }

    /// Waits for `count` spans; returns them in order of their start.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Span> {
        eventually("spans", async || self.spans().len() >= count).await;
        let mut spans = self.spans();
        assert_eq!(spans.len(), count, "{spans:#?}");
        spans.sort_by_key(|span| span.start_time_unix_nano);
        spans
    }

    pub(super) fn holds(&self, text: &str) -> bool {
        let sent = self.collected.0.lock().unwrap();
        sent.iter()
            .any(|(_, body)| body.windows(text.len()).any(|part| part == text.as_bytes()))
    }
}
