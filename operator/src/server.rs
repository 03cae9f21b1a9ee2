//! The operator's HTTP endpoints: metrics on one port, health and readiness on another.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use exposition::Format;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;

/// Whether the operator is ready.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ready(Arc<AtomicBool>);

impl Ready {
    pub(crate) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

/// Routes of the metrics port.
pub(crate) fn metrics_routes(metrics: Arc<Metrics>) -> Router {
    Router::new()
        .route("/metrics", get(serve_metrics))
        .with_state(metrics)
}

/// Routes of the health port.
pub(crate) fn health_routes(ready: Ready) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(serve_readiness))
        .with_state(ready)
}

/// Serves until cancelled.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) async fn serve(
    address: SocketAddr,
    routes: Router,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    tokio::spawn(async move {
        let ended = axum::serve(listener, routes)
            .with_graceful_shutdown(stop.cancelled_owned())
            .await;
        if let Err(error) = ended {
            tracing::error!(%error, %address, "HTTP endpoint stopped");
        }
    });
    Ok(())
}

async fn serve_metrics(
    State(metrics): State<Arc<Metrics>>,
    headers: HeaderMap,
) -> impl IntoResponse {
    let format = Format::negotiate(&headers);
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::VARY, "accept"),
    ];
    match metrics.render(format) {
        Ok(text) => (StatusCode::OK, headers, text),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            headers,
            error.to_string(),
        ),
    }
}

async fn serve_readiness(State(ready): State<Ready>) -> impl IntoResponse {
    if ready.0.load(Ordering::Relaxed) {
        (StatusCode::OK, "ok")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "waiting for the initial list of every watch; check that the CRDs are installed",
        )
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt;

    use super::*;

    async fn status(routes: Router, path: &str) -> StatusCode {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        routes.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn readiness_follows_the_caches_and_liveness_does_not() {
        let ready = Ready::default();
        let routes = health_routes(ready.clone());
        assert_eq!(status(routes.clone(), "/healthz").await, StatusCode::OK);
        assert_eq!(
            status(routes.clone(), "/readyz").await,
            StatusCode::SERVICE_UNAVAILABLE
        );
        ready.set(true);
        assert_eq!(status(routes, "/readyz").await, StatusCode::OK);
    }

    #[tokio::test]
    async fn metrics_are_served() {
        let routes = metrics_routes(Arc::new(Metrics::new(1)));
        assert_eq!(status(routes, "/metrics").await, StatusCode::OK);
    }
}
