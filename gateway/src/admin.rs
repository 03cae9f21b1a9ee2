//! `/healthz`, `/readyz` and `/metrics`, on a port of their own.
//!
//! Ready means: there is something to sign with, and the server takes requests. Why not stands in the
//! answer, for the operator of Kubernetes to read; no secrets.

use axum::{Router, body::Body, extract::State as FromState, response::Response, routing::get};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::app::State;

const METRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// How credentials are had, such as `web-identity`.
    method: &'a str,
}

/// Health, readiness and metrics of a gateway.
pub fn admin(state: State) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(state)
}

async fn readyz(FromState(state): FromState<State>) -> Response {
    let live = state.live();
    let status = live.credentials.status();
    let method = status.choice.method.as_str();
    if state.draining().is_cancelled() {
        let draining = not_ready("Draining", "the gateway is shutting down", method);
        return json(StatusCode::SERVICE_UNAVAILABLE, &draining);
    }
    match live.credentials.current() {
        Ok(_) => json(
            StatusCode::OK,
            &Readiness {
                ready: true,
                reason: None,
                message: None,
                method,
            },
        ),
        Err(unavailable) => json(
            StatusCode::SERVICE_UNAVAILABLE,
            &not_ready(unavailable.reason.as_str(), &unavailable.message, method),
        ),
    }
}

fn not_ready<'a>(reason: &'a str, message: &'a str, method: &'a str) -> Readiness<'a> {
    Readiness {
        ready: false,
        reason: Some(reason),
        message: Some(message),
        method,
    }
}

fn json(status: StatusCode, content: &Readiness<'_>) -> Response {
    let body = serde_json::to_vec(content).unwrap_or_default();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

async fn metrics(FromState(state): FromState<State>) -> Response {
    let status = state.live().credentials.status();
    let text = state.metrics().render(&status, state.in_flight().count());
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}
