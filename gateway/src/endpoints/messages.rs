//! `POST /v1/messages`: the steps of a request in their order, and nothing else. Claude is spoken to in
//! its own language, every other model by Converse; which it is, is data of the target.
//! <https://docs.claude.com/en/api/messages>

mod prepare;
mod stream;

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use dialects::anthropic::{ReplyContext, ResponseIdentity};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        admit::admit,
        converse as translate,
        converse::Media,
        driver::{Accepted, answer},
        record::Account,
        route::Target,
    },
    server::router::State,
    telemetry::request_id::Arrival,
};
use prepare::prepare;
pub(crate) use prepare::{Given, unserved};
use stream::Messages;

pub(crate) const PATH: &str = "/v1/messages";
/// By which a client says that it speaks this dialect.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
pub(crate) const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// Where this dialect has the name of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// The way an answer came.
#[derive(Debug)]
pub(crate) enum Way {
    /// In Claude's own language.
    Passthrough,
    Converse(Box<ReplyContext>),
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let mut account = Account::open(&state, &arrival, PATH, "chat");
    let accepted = accept(&state, request, &mut account).await;
    named(answer(accepted, account, refuse).await, &arrival.id)
}

/// An error in this dialect.
pub(crate) fn refuse(account: &mut Account, error: &GatewayError) -> Response {
    account.failed(error);
    refused(error, account.request_id())
}

/// An error in this dialect, written down elsewhere.
pub(crate) fn refused(error: &GatewayError, request_id: &str) -> Response {
    named(error.anthropic_response(request_id), request_id)
}

/// An answer with the name of its request where clients of this dialect look for it.
pub(crate) fn named(mut response: Response, request_id: &str) -> Response {
    if let Ok(value) = HeaderValue::try_from(request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Whether a client speaks this dialect, on paths that several share.
pub(crate) fn is_spoken(path: &str, headers: &HeaderMap) -> bool {
    path.starts_with(PATH) || headers.contains_key(VERSION)
}

async fn accept(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Accepted<Messages>, GatewayError> {
    let given = Given::of(request.headers());
    let admitted = admit(state, request, account).await?;
    let identity = ResponseIdentity {
        id: format!("msg_{:032x}", fastrand::u128(..)),
        model: admitted.model.clone(),
    };
    let stream = admitted.stream;
    let prepare = move |live: &Live, target: &Target, body: &[u8], fetched: &Media| {
        prepare(live, target, body, fetched, &given)
    };
    Ok(Accepted {
        call: translate::call(state, admitted, prepare).await?,
        dialect: Messages { identity },
        stream,
    })
}
