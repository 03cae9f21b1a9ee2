//! The routes of the API and what all requests share.
//!
//! Every answer, also one to a path that is not there, has a request id and speaks the client's
//! dialect. What happens inside a route is in the route's own file.

use std::{sync::Arc, time::SystemTime};

use api::names;
use axum::{
    Extension, Router,
    extract::{OriginalUri, State as FromState},
    middleware,
    response::Response,
    routing::{MethodRouter, any, get, post},
};
use http::{Extensions, HeaderMap, Method, Uri};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Settings,
    endpoints::{
        bedrock_api as native, chat_completions, client_credentials, count_tokens, embeddings,
        images, messages, models as listing, rerank, responses,
    },
    http::{client, error::GatewayError, request_guards::InFlight},
    pipeline::{
        active_config::{Current, Live, LoadError},
        rate_limit::report::{self, Slot},
        record::{Account, NO_ROUTE},
    },
    telemetry::{metrics::Metrics, request_id as arrival, request_id::Arrival, traces::Traces},
    upstream::remote_media::Fetcher,
};

/// What all requests share. Cloning copies a pointer.
#[derive(Clone, Debug)]
pub struct State(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    settings: Settings,
    live: Current,
    client: client::Client,
    fetcher: Fetcher,
    metrics: Arc<Metrics>,
    in_flight: InFlight,
    draining: CancellationToken,
    cut: CancellationToken,
    started_at: SystemTime,
}

/// The API of a gateway, to be served or called.
pub fn app(state: State) -> Router {
    Router::new()
        .route(
            chat_completions::PATH,
            only("POST", post(chat_completions::handle)),
        )
        .route(responses::PATH, only("POST", post(responses::handle)))
        .route(images::PATH, only("POST", post(images::handle)))
        .route(rerank::PATH, only("POST", post(rerank::handle)))
        .route(rerank::V2_PATH, only("POST", post(rerank::handle)))
        .route(embeddings::PATH, only("POST", post(embeddings::handle)))
        .route(listing::PATH, only("GET, HEAD", get(listing::all)))
        .route(listing::ONE_PATH, only("GET, HEAD", get(listing::one)))
        .route(messages::PATH, only("POST", post(messages::handle)))
        .route(count_tokens::PATH, only("POST", post(count_tokens::handle)))
        .route(native::MODEL_PATH, any(native::handle))
        .route(native::GUARDRAIL_PATH, any(native::handle))
        .route(
            names::CLIENT_CREDENTIALS_PATH,
            only("GET, HEAD", get(client_credentials::handle)),
        )
        .route("/healthz", only("GET, HEAD", get(async || "ok\n")))
        .fallback(unknown_path)
        .layer(middleware::from_fn_with_state(state.clone(), report::write))
        .layer(middleware::from_fn_with_state(state.clone(), arrival::note))
        .with_state(state)
}

/// A route that answers other methods than its own in the client's dialect.
fn only(allowed: &'static str, route: MethodRouter<State>) -> MethodRouter<State> {
    route.fallback(
        async move |FromState(state): FromState<State>,
                    Extension(arrival): Extension<Arrival>,
                    method: Method,
                    headers: HeaderMap,
                    OriginalUri(uri): OriginalUri| {
            refuse(
                &state,
                &arrival,
                messages::is_spoken(uri.path(), &headers),
                &GatewayError::WrongMethod {
                    path: uri.path().to_owned(),
                    method: method.to_string(),
                    allowed,
                },
            )
        },
    )
}

async fn unknown_path(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let path = uri.path().to_owned();
    let anthropic = messages::is_spoken(&path, &headers);
    refuse(
        &state,
        &arrival,
        anthropic,
        &GatewayError::UnknownPath { path },
    )
}

fn refuse(state: &State, arrival: &Arrival, anthropic: bool, error: &GatewayError) -> Response {
    let mut account = Account::open(state, arrival, NO_ROUTE, "");
    account.failed(error);
    if anthropic {
        messages::refused(error, &arrival.id)
    } else {
        error.response(&arrival.id)
    }
}

impl State {
    /// Reads the configuration and starts the credentials; opens no port.
    ///
    /// # Errors
    /// When the configuration is not usable.
    pub async fn try_new(settings: Settings) -> Result<Self, LoadError> {
        let metrics = Metrics::new();
        let live = Live::load(&settings, &metrics, None).await?;
        let tls = client::tls()?;
        let fetcher = Fetcher::new(tls.clone());
        let client = client::connect(tls);
        let started_at = settings.clock.now();
        Ok(Self(Arc::new(Inner {
            settings,
            live: Current::from_pointee(live),
            client,
            fetcher,
            metrics,
            in_flight: InFlight::default(),
            draining: CancellationToken::new(),
            cut: CancellationToken::new(),
            started_at,
        })))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// The configuration in force now; a request takes it once.
    pub(crate) fn live(&self) -> Arc<Live> {
        self.0.live.load_full()
    }

    pub(crate) fn replace(&self, live: Live) {
        self.0.live.store(Arc::new(live));
    }

    pub(crate) fn client(&self) -> &client::Client {
        &self.0.client
    }

    pub(crate) fn fetcher(&self) -> &Fetcher {
        &self.0.fetcher
    }

    pub(crate) fn traces(&self) -> Option<&Traces> {
        self.0.settings.traces.as_ref()
    }

    pub(crate) fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.0.metrics)
    }

    /// Takes a request of a client where the limits allow it, for the time that its account is open.
    ///
    /// # Errors
    /// 429 with the limit that is reached.
    pub(crate) async fn take(
        &self,
        live: &Live,
        client: &str,
        extensions: &Extensions,
        account: &mut Account,
    ) -> Result<(), GatewayError> {
        if live.allotments.is_empty() {
            return Ok(());
        }
        let (report, admission) = live.allotments.admit(client, &self.0.settings.clock).await;
        if let Some(slot) = extensions.get::<Slot>() {
            slot.fill(report);
        }
        match admission {
            Ok(admission) => {
                account.admitted(admission);
                Ok(())
            }
            Err(refusal) => {
                self.0.metrics.over_limit(&refusal, client);
                Err(GatewayError::OverLimit(Box::new(refusal)))
            }
        }
    }

    pub(crate) fn in_flight(&self) -> &InFlight {
        &self.0.in_flight
    }

    /// Cancelled when the server no longer wants to be given requests.
    pub(crate) fn draining(&self) -> &CancellationToken {
        &self.0.draining
    }

    /// Cancelled when open streams have to end now.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.0.cut
    }

    pub(crate) fn now(&self) -> SystemTime {
        self.0.settings.clock.now()
    }

    /// Seconds since 1970 at the start.
    pub(crate) fn started_at(&self) -> u64 {
        seconds(self.0.started_at)
    }
}

/// Seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
