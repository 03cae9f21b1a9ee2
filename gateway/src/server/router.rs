//! The routes of the API.
//!
//! Every response, including errors for unknown paths, has a request id and the client's dialect.

use std::{convert::Infallible, net::IpAddr};

use api::names;
use axum::{
    Extension, Router,
    extract::{OriginalUri, Request, State as FromState},
    response::Response,
    routing::{MethodRouter, any, get, post},
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tower::Service as _;

use crate::{
    endpoints::{
        bedrock_api, bedrock_api::listing, chat_completions::ChatCompletions, client_credentials,
        count_tokens::CountTokens, embeddings::Embeddings, images::Images, landing,
        messages::Messages, models, openapi, rerank, rerank::Rerank, responses::Responses,
    },
    http::{
        dialect::{ANTHROPIC_BASE, Dialect, OPENAI_BASE},
        error::GatewayError,
        local,
    },
    pipeline::{
        batch::{self, BatchEndpoint},
        context::RequestContext,
        driver::{self, serve, serve_streaming},
        endpoint::Endpoint,
        rate_limit::report::Slot,
        record::RequestRecord,
        state::State,
    },
    telemetry::{OTHER, request_id},
};

/// Header of every response of a gateway with a simulated AWS.
const SIMULATED: HeaderName = HeaderName::from_static("x-bedrock-gateway-simulated");

/// What a port serves.
#[derive(Clone, Debug)]
pub(super) enum App {
    Api {
        state: State,
        router: Router,
        /// Web pages cannot reach a Unix socket.
        on_socket: bool,
    },
    Admin(Router),
}

/// The routes of the API.
fn routes(state: State) -> Router {
    let v1 = Router::new()
        .route(
            ChatCompletions::PATH,
            only("POST", post(serve_streaming::<ChatCompletions>)),
        )
        .route(
            Responses::PATH,
            only("POST", post(serve_streaming::<Responses>)),
        )
        .route(
            Messages::PATH,
            only("POST", post(serve_streaming::<Messages>)),
        )
        .route(CountTokens::PATH, only("POST", post(serve::<CountTokens>)))
        .route(
            Embeddings::PATH,
            only("POST", post(batch::serve::<Embeddings>)),
        )
        .route(Images::PATH, only("POST", post(batch::serve::<Images>)))
        .route(Rerank::PATH, only("POST", post(serve::<Rerank>)))
        .route(rerank::V2_PATH, only("POST", post(serve::<Rerank>)))
        .route(models::PATH, only("GET, HEAD", get(models::all)))
        .route(models::ONE_PATH, only("GET, HEAD", get(models::one)));
    Router::new()
        .merge(v1.clone())
        .nest(OPENAI_BASE, v1.clone())
        .nest(ANTHROPIC_BASE, v1)
        .route(listing::MODELS_PATH, any(listing::handle))
        .route(listing::MODEL_PATH, any(listing::handle))
        .route(listing::PROFILES_PATH, any(listing::handle))
        .route(listing::PROFILE_PATH, any(listing::handle))
        .route(bedrock_api::MODEL_PATH, any(bedrock_api::handle))
        .route(bedrock_api::GUARDRAIL_PATH, any(bedrock_api::handle))
        .route(
            names::CLIENT_CREDENTIALS_PATH,
            only("GET, HEAD", get(client_credentials::handle)),
        )
        .route(landing::PATH, only("GET, HEAD", get(landing::handle)))
        .route(openapi::PATH, only("GET, HEAD", get(openapi::handle)))
        .route("/healthz", only("GET, HEAD", get(async || "ok\n")))
        .route("/health", only("GET, HEAD", get(async || "ok\n")))
        .fallback(unknown_path)
        .with_state(state)
}

/// A route that rejects other methods in the client's dialect.
fn only(allowed: &'static str, route: MethodRouter<State>) -> MethodRouter<State> {
    route.fallback(
        async move |FromState(state): FromState<State>,
                    Extension(context): Extension<RequestContext>,
                    method: Method,
                    headers: HeaderMap,
                    OriginalUri(uri): OriginalUri| {
            let error = GatewayError::WrongMethod {
                path: uri.path().to_owned(),
                method: method.to_string(),
                allowed,
            };
            reject(&state, &context, Dialect::new(uri.path(), &headers), error)
        },
    )
}

async fn unknown_path(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    headers: HeaderMap,
    uri: Uri,
) -> Response {
    let dialect = Dialect::of_unknown(uri.path(), &headers);
    let path = uri.path().to_owned();
    reject(
        &state,
        &context,
        dialect,
        GatewayError::UnknownPath { path },
    )
}

fn reject(
    state: &State,
    context: &RequestContext,
    dialect: Dialect,
    error: GatewayError,
) -> Response {
    if dialect == Dialect::Bedrock {
        return listing::unhandled(state, context, &error);
    }
    let record = RequestRecord::open(state, context, OTHER, "");
    driver::finish(Err(error), dialect, record)
}

impl App {
    /// The API of a gateway.
    pub(super) fn api(state: State, on_socket: bool) -> Self {
        let router = routes(state.clone());
        Self::Api {
            state,
            router,
            on_socket,
        }
    }

    /// Responds to a request. What applies to every request of the API is here and not in layers of the router: each
    /// of those is a copy of all below it and a future on the heap, for each request.
    pub(super) async fn respond(
        self,
        mut request: Request,
        peer: Option<IpAddr>,
    ) -> Result<Response, Infallible> {
        let (state, mut router, on_socket) = match self {
            Self::Admin(mut router) => return router.call(request).await,
            Self::Api {
                state,
                router,
                on_socket,
            } => (state, router, on_socket),
        };
        let limits = reports_limits(&state, &request);
        let slot = limits.as_ref().map(|(_, slot)| slot.clone());
        let context = RequestContext::new(&request, peer, state.traces(), slot);
        let id = HeaderValue::try_from(context.id.as_str());
        let timing = context.timing.clone();
        let foreign = (!on_socket).then(|| foreign_page(&state, &context, &request));
        let mut response = if let Some(rejected) = foreign.flatten() {
            rejected
        } else {
            request.extensions_mut().insert(context);
            router.call(request).await?
        };
        if let Some((dialect, slot)) = limits {
            slot.write(dialect, response.headers_mut());
        }
        if let Some(timing) = timing {
            timing.write(response.headers_mut());
        }
        if state.settings().simulated {
            let value = HeaderValue::from_static("true");
            response.headers_mut().insert(SIMULATED, value);
        }
        if let Ok(id) = id {
            request_id::set(&mut response, id);
        }
        Ok(response)
    }
}

/// The rejection of a web page's request while clients on this machine need no credentials.
fn foreign_page(state: &State, context: &RequestContext, request: &Request) -> Option<Response> {
    let is_exposed =
        state.settings().listen.ip().is_loopback() && state.active().authenticator.is_open();
    if !is_exposed {
        return None;
    }
    let message = local::foreign(request.headers(), request.uri())?;
    let dialect = Dialect::of_unknown(request.uri().path(), request.headers());
    Some(reject(
        state,
        context,
        dialect,
        GatewayError::Forbidden { message },
    ))
}

/// The dialect of the headers of limits and budgets and the place for their values, if the response has any.
fn reports_limits(state: &State, request: &Request) -> Option<(Dialect, Slot)> {
    let dialect = Dialect::new(request.uri().path(), request.headers());
    let active = state.active();
    let has_none = dialect == Dialect::Bedrock || active.limiter.is_empty();
    let has_none = has_none && active.budgets.is_none();
    (!has_none).then(|| (dialect, Slot::default()))
}
