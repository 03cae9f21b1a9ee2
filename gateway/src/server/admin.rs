//! `/healthz`, `/readyz`, `/metrics` and `/budgets`, on a port of their own.
//!
//! A gateway is ready with AWS credentials that AWS accepts while it is not draining. The response has the cause
//! otherwise, and no secrets. It also lists ejected targets, and the roles of targets: at startup each must have been tried once, but a
//! rejected role does not affect readiness, since the other targets still work.

use api::{
    config::AssumeRole,
    shares::{self, ShareReport},
    spend::SpendReport,
};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::{DefaultBodyLimit, State as FromState},
    response::Response,
    routing::{get, post},
};
use credentials::Handle;
use exposition::Format;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::{
    http::response::json,
    measure,
    pipeline::{
        budget::{Budgets, GrantError},
        route::Routes,
        state::State,
    },
    telemetry::metrics::{Observed, TargetLabels},
    upstream::{aws_credentials::AwsCredentials, health::Ejections},
};

/// Largest body with grants, in bytes.
const MAX_GRANT_BYTES: usize = 64 * 1024;

#[derive(Serialize)]
struct Readiness<'a> {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// Source of the AWS credentials, such as `web-identity`.
    method: &'a str,
    /// The roles of targets.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<RoleReadiness>,
    /// Targets that are ejected because they fail. They do not affect readiness.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ejected: Vec<EjectedTarget>,
    /// What the process has spent.
    spend: SpendReport,
    /// Its shares of budgets.
    #[serde(skip_serializing_if = "Option::is_none")]
    shares: Option<ShareReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct EjectedTarget {
    model: String,
    region: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    role: String,
    /// Time until it returns.
    seconds: u64,
    /// Length of the ejection.
    for_seconds: u64,
}

#[derive(Serialize)]
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
    measure::admin(Router::new())
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route(
            shares::PATH,
            post(grant).layer(DefaultBodyLimit::max(MAX_GRANT_BYTES)),
        )
        .with_state(state)
}

async fn readyz(FromState(state): FromState<State>) -> Response {
    let active = state.active();
    let status = active.credentials.base().status();
    let roles = roles(&active.credentials);
    let problem = if state.draining().is_cancelled() {
        Some(("Draining", "the gateway is shutting down".to_owned()))
    } else {
        let missing = active.credentials.ready().err();
        missing.map(|why| (why.reason.as_str(), why.message))
    };
    let (reason, message) = match problem {
        Some((reason, message)) => (Some(reason), Some(message)),
        None => (None, failing_roles(&roles)),
    };
    let readiness = Readiness {
        ready: reason.is_none(),
        reason,
        message,
        method: status.choice.method.as_str(),
        roles,
        ejected: targets(&active.routes)
            .filter_map(EjectedTarget::new)
            .collect(),
        spend: state.spending().report(state.now(), state.started_at()),
        shares: active
            .budgets
            .as_ref()
            .and_then(|budgets| budgets.share_report(state.draining().is_cancelled())),
    };
    let mut response = json(
        serde_json::to_vec(&readiness).unwrap_or_default(),
        &HeaderMap::new(),
        &[],
    );
    if !readiness.ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// The targets of models with several targets.
fn targets(routes: &Routes) -> impl Iterator<Item = (TargetLabels, Ejections)> {
    routes.with_alternatives().filter_map(|target| {
        let ejections = target.health.as_ref()?.ejections();
        let role = target.assume_role.as_ref();
        let labels = TargetLabels {
            target_model: target.model_id.clone(),
            region: target.region.to_string(),
            role: role
                .map(|role| role.role_arn.to_string())
                .unwrap_or_default(),
        };
        Some((labels, ejections))
    })
}

impl EjectedTarget {
    /// A target, if it is ejected.
    fn new((labels, ejections): (TargetLabels, Ejections)) -> Option<Self> {
        Some(Self {
            model: labels.target_model,
            region: labels.region,
            role: labels.role,
            seconds: ejections.left?.as_secs().max(1),
            for_seconds: ejections.last.as_secs(),
        })
    }
}

fn roles(credentials: &AwsCredentials) -> Vec<RoleReadiness> {
    let report = |(role, handle): (&AssumeRole, &Handle)| {
        let missing = handle.ready().err();
        RoleReadiness {
            role: role.role_arn.to_string(),
            ready: missing.is_none(),
            reason: missing.as_ref().map(|why| why.reason.as_str()),
            message: missing.map(|why| why.message),
        }
    };
    credentials.roles().map(report).collect()
}

/// The message of a ready gateway with failing roles.
fn failing_roles(roles: &[RoleReadiness]) -> Option<String> {
    let mut failing = roles.iter().filter(|role| !role.ready);
    let first = failing.next()?;
    let message = first.message.as_deref().unwrap_or_default();
    Some(format!(
        "no credentials for {} of {} target roles: {message}",
        failing.count().saturating_add(1),
        roles.len()
    ))
}

/// Shares of budgets from the operator.
async fn grant(FromState(state): FromState<State>, headers: HeaderMap, body: Bytes) -> Response {
    let signature = headers.get(shares::SIGNATURE);
    let signature = signature
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let active = state.active();
    let budgets = active.budgets.as_ref();
    let (status, text) = match budgets.and_then(|budgets| budgets.grant(&body, signature)) {
        Some(Ok(())) => (StatusCode::NO_CONTENT, String::new()),
        Some(Err(error)) => {
            let status = match error {
                GrantError::Signature => StatusCode::UNAUTHORIZED,
                GrantError::Malformed => StatusCode::BAD_REQUEST,
                GrantError::OtherProcess => StatusCode::CONFLICT,
            };
            (status, format!("{error}\n"))
        }
        None => (StatusCode::NOT_FOUND, "no budget has shares\n".to_owned()),
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}

async fn metrics(FromState(state): FromState<State>, headers: HeaderMap) -> Response {
    let format = Format::negotiate(&headers);
    let mut response = Response::new(Body::from(page(&state, format)));
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_static(format.content_type());
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(header::VARY, HeaderValue::from_static("accept"));
    response
}

/// All metrics.
pub(super) fn page(state: &State, format: Format) -> String {
    let active = state.active();
    let roles: Vec<_> = active
        .credentials
        .roles()
        .map(|(_, role)| role.status())
        .collect();
    let ejections = targets(&active.routes)
        .map(|(labels, ejections)| (labels, ejections.left.is_some(), ejections.total));
    state.metrics().routing.update(ejections);
    let budgets = active.budgets.as_ref();
    let used = budgets.map(|budgets| budgets.used(&state.settings().clock));
    state.metrics().budgets.update(
        used.unwrap_or_default(),
        budgets.and_then(Budgets::store_is_up),
    );
    state.metrics().render(
        format,
        &Observed {
            credentials: &active.credentials.base().status(),
            roles: &roles,
            in_flight: state.in_flight().count(),
            limit_store_up: active.limiter.store_is_up(),
            access: active.config.access.as_ref(),
        },
    )
}
