//! The console: a read-only web page about `BedrockAccess` objects, on a port of its own (ADR-0034).
//!
//! A browser reaches it through `kubectl port-forward`, so it listens on loopback only. The page sends the token of its user
//! with each request and keeps it in memory; this process has no sessions. `guard` rejects requests of other sites, `viewer`
//! asks the API server who the user is and which namespaces this user can list, `report` describes objects from the caches, `usage`
//! has their amounts, `gateways` reads the admin ports of their gateways, and `findings` has the fix of each problem. Nothing is
//! written.

mod findings;
mod gateways;
mod guard;
mod report;
mod usage;
mod viewer;

use std::{
    borrow::Cow,
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use api::{
    names,
    prices::{self, Prices},
    v1alpha1::BedrockAccessSpec,
};
use axum::{
    Json, Router,
    extract::{Path, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use k8s_openapi::jiff::Timestamp;
use kube::{Client, ResourceExt};
use kube_runtime::reflector::{ObjectRef, Store};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::{
    findings::Finding,
    gateways::{Gateways, GatewaysReport},
    report::{AccessReport, AccessSummary},
    usage::{Dates, UsageReport},
    viewer::{Viewer, ViewerError, Viewers},
};
use crate::{
    access::Guarded, gateway_defaults::GatewayDefaults, owned::Stores, policy::Policies,
    settings::Settings,
};

/// The files of the page.
const PAGE: &str = include_str!("console/page.html");
const SCRIPT: &str = include_str!("console/page.js");
const STYLE: &str = include_str!("console/page.css");

/// Nothing but the page's own files, and no text that becomes markup.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// Objects in one overview, those with problems first.
const MAX_OBJECTS: usize = 1000;

/// Settings of the console.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// Address of the page, on loopback.
    pub address: SocketAddr,
    /// How long the permissions of a user are kept. A change takes effect after this time.
    pub permissions_lifetime: Duration,
}

impl ConsoleSettings {
    /// A console at an address.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            permissions_lifetime: Duration::from_secs(30),
        }
    }
}

/// Default address of the console.
pub const DEFAULT_CONSOLE_ADDRESS: SocketAddr = SocketAddr::new(
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    names::OPERATOR_CONSOLE_PORT,
);

/// The caches that the console reads.
pub(crate) struct Sources {
    pub(crate) access_store: Store<Guarded>,
    pub(crate) stores: Stores,
    pub(crate) policies: Policies,
    /// Cancelled once all objects are listed.
    pub(crate) all_listed: CancellationToken,
}

struct Console {
    sources: Sources,
    viewers: Viewers,
    gateways: Gateways,
    /// The platform's prices are part of them.
    gateway_defaults: GatewayDefaults,
}

type Shared = Arc<Console>;

/// Why a request gets no data.
#[derive(Debug, thiserror::Error)]
enum ConsoleError {
    /// The token is missing or not accepted, or the API server cannot decide.
    #[error(transparent)]
    Viewer(#[from] ViewerError),
    /// The caches are not filled.
    #[error("The operator is starting: not all BedrockAccess objects are listed yet.")]
    Starting,
    /// The object does not exist, or the user cannot see it.
    #[error(
        "BedrockAccess {namespace}/{name} does not exist, or you may not list objects in its namespace."
    )]
    NotFound { namespace: String, name: String },
}

impl IntoResponse for ConsoleError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::Viewer(ViewerError::NoToken | ViewerError::Rejected | ViewerError::Expired) => {
                StatusCode::UNAUTHORIZED
            }
            Self::Viewer(ViewerError::Unavailable { .. }) | Self::Starting => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
        };
        let body = serde_json::json!({"error": self.to_string()});
        (status, Json(body)).into_response()
    }
}

/// The objects that a user can see.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    /// Name of the user.
    user: String,
    version: &'static str,
    /// Whether the user can list the objects of all namespaces.
    all_namespaces: bool,
    /// Number of objects, also of those left out.
    total: usize,
    /// Usage of all of them.
    usage: UsageReport,
    objects: Vec<AccessSummary>,
}

/// One object.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Detail {
    user: String,
    #[serde(flatten)]
    access: AccessReport,
    findings: Vec<Finding>,
    #[serde(flatten)]
    gateways: GatewaysReport,
}

/// The routes of the console.
pub(crate) fn routes(
    client: Client,
    sources: Sources,
    settings: &Settings,
    console: &ConsoleSettings,
) -> Router {
    let shared = Arc::new(Console {
        sources,
        viewers: Viewers::new(client, console.permissions_lifetime),
        gateways: Gateways::new(settings.gateway_admin_port, settings.readiness_timeout),
        gateway_defaults: settings.gateway_defaults.clone(),
    });
    let file = |kind: &'static str, text: &'static str| {
        get(move || async move { ([(header::CONTENT_TYPE, kind)], text) })
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", PAGE))
        .route(
            "/console.js",
            file("text/javascript; charset=utf-8", SCRIPT),
        )
        .route("/console.css", file("text/css; charset=utf-8", STYLE))
        .route("/api/overview", get(overview))
        .route("/api/bedrockaccesses/{namespace}/{name}", get(detail))
        .layer(middleware::from_fn(protect))
        .with_state(shared)
}

/// Rejects requests of other sites, and sets the headers of every response.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = match guard::foreign(request.headers(), request.uri()) {
        Some(message) => (StatusCode::FORBIDDEN, format!("{message}\n")).into_response(),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            "same-origin",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn overview(
    State(console): State<Shared>,
    headers: HeaderMap,
) -> Result<Json<Overview>, ConsoleError> {
    let objects = console.sources.access_store.state();
    let namespaces = objects.iter().filter_map(|object| object.namespace());
    let viewer = console.viewer(&headers, namespaces.collect()).await?;
    let dates = Dates::at(Timestamp::now());
    let visible = objects
        .iter()
        .filter(|object| viewer.can_see(object.namespace().as_deref()));
    let usage = visible.clone().filter_map(|object| {
        let access = object.0.as_ref().ok()?;
        access.status.as_ref()?.usage.as_ref()
    });
    let usage = UsageReport::sum(usage, &dates);
    let mut objects: Vec<AccessSummary> = visible
        .map(|object| AccessSummary::new(object, &dates))
        .collect();
    objects.sort_by(AccessSummary::by_urgency);
    let total = objects.len();
    objects.truncate(MAX_OBJECTS);
    Ok(Json(Overview {
        user: viewer.username().to_owned(),
        version: env!("CARGO_PKG_VERSION"),
        all_namespaces: viewer.sees_all(),
        total,
        usage,
        objects,
    }))
}

async fn detail(
    State(console): State<Shared>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Detail>, ConsoleError> {
    let Sources {
        access_store,
        stores,
        policies,
        ..
    } = &console.sources;
    let object = access_store.get(&ObjectRef::<Guarded>::new(&name).within(&namespace));
    // Only namespaces with objects are looked up, so that a request cannot cause others.
    let looked_up = object.iter().filter_map(|object| object.namespace());
    let viewer = console.viewer(&headers, looked_up.collect()).await?;
    let object = object.filter(|object| viewer.can_see(object.namespace().as_deref()));
    let Some(object) = object else {
        return Err(ConsoleError::NotFound { namespace, name });
    };
    let dates = Dates::at(Timestamp::now());
    let access = AccessReport::new(&object, policies.applying(&namespace), &dates);
    let spec = object.0.as_ref().ok().map(|access| &access.spec);
    let gateways = console.gateways.read(stores, &namespace, &name, spec).await;
    let prices = console.prices(spec);
    let findings = findings::of(&object, &gateways, &prices);
    Ok(Json(Detail {
        user: viewer.username().to_owned(),
        access,
        findings,
        gateways,
    }))
}

impl Console {
    /// The prices that the gateways of an object have.
    fn prices(&self, spec: Option<&BedrockAccessSpec>) -> Cow<'static, Prices> {
        let builtin = prices::builtin();
        let own = spec.and_then(|spec| self.gateway_defaults.prices(spec));
        // A spec with a mistake in its prices has no effect.
        let changed = own.and_then(|own| builtin.with(&own).ok());
        changed.map_or(Cow::Borrowed(builtin), Cow::Owned)
    }

    /// The user of a request, and which of these namespaces this user can see.
    async fn viewer(
        &self,
        headers: &HeaderMap,
        namespaces: BTreeSet<String>,
    ) -> Result<Viewer, ConsoleError> {
        let token = viewer::token(headers)?;
        if !self.sources.all_listed.is_cancelled() {
            return Err(ConsoleError::Starting);
        }
        Ok(self.viewers.identify(token, namespaces).await?)
    }
}
