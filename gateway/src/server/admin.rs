//! `/healthz`, `/readyz` and `/metrics`, on a port of their own.
//!
//! Ready means: there is something to sign with, and the server takes requests. Why not stands in the
//! answer, for the operator of Kubernetes to read; no secrets. Roles of targets are listed and decide nothing, except
//! that at the start each has been tried once: a role that is refused is no reason to stop serving by the others.

use api::config::AssumeRole;
use axum::{Router, body::Body, extract::State as FromState, response::Response, routing::get};
use credentials::Handle;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{server::router::State, upstream::aws_credentials::Sessions};

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
    /// Of the roles that targets name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<RoleReadiness>,
}

#[derive(Clone, Serialize)]
struct RoleReadiness {
    role: String,
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
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
    let status = live.sessions.base().status();
    let method = status.choice.method.as_str();
    let roles = roles(&live.sessions);
    let refused = |reason, message| Readiness {
        ready: false,
        reason: Some(reason),
        message: Some(message),
        method,
        roles: roles.clone(),
    };
    if state.draining().is_cancelled() {
        let draining = refused("Draining", "the gateway is shutting down");
        return json(StatusCode::SERVICE_UNAVAILABLE, &draining);
    }
    if let Err(why) = live.sessions.ready() {
        let report = refused(why.reason.as_str(), &why.message);
        return json(StatusCode::SERVICE_UNAVAILABLE, &report);
    }
    let message = without_credentials(&roles);
    let ready = Readiness {
        ready: true,
        reason: None,
        message: message.as_deref(),
        method,
        roles: roles.clone(),
    };
    json(StatusCode::OK, &ready)
}

fn roles(sessions: &Sessions) -> Vec<RoleReadiness> {
    let report = |(role, handle): (&AssumeRole, &Handle)| {
        let missing = handle.current().err();
        RoleReadiness {
            role: role.role_arn.to_string(),
            ready: missing.is_none(),
            reason: missing.as_ref().map(|why| why.reason.as_str()),
            message: missing.map(|why| why.message),
        }
    };
    sessions.roles().map(report).collect()
}

/// What a person should know of a gateway that serves: which targets it cannot call.
fn without_credentials(roles: &[RoleReadiness]) -> Option<String> {
    let mut failing = roles.iter().filter(|role| !role.ready);
    let first = failing.next()?;
    let message = first.message.as_deref().unwrap_or_default();
    Some(format!(
        "no credentials for {} of {} roles of targets: {message}",
        failing.count().saturating_add(1),
        roles.len()
    ))
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
    let live = state.live();
    let status = live.sessions.base().status();
    let roles: Vec<_> = live
        .sessions
        .roles()
        .map(|(_, role)| role.status())
        .collect();
    let in_flight = state.in_flight().count();
    let store = live.allotments.store_is_up();
    let text = state.metrics().render(&status, &roles, in_flight, store);
    let mut response = Response::new(Body::from(text));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(METRICS_TYPE));
    response
}
