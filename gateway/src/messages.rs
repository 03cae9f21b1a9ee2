//! `POST /v1/messages`: the steps of a request in their order, and nothing else. Claude is spoken to in
//! its own language, every other model by Converse; which it is, is data of the target.
//! <https://docs.claude.com/en/api/messages>

mod prepare;
mod stream;

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use dialects::anthropic::{ReplyContext, ResponseIdentity, encode_response, usage_of};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    account::Account,
    admit::{Admitted, admit},
    app::State,
    chat_completions::{add_warnings, pass_request_id, read_answer},
    error::GatewayError,
    request_id::RequestId,
    sse,
    upstream::{Answer, Call, Content, Prepare},
};
pub(crate) use prepare::{Given, unserved};
use prepare::{Step, prepare};

pub(crate) const PATH: &str = "/v1/messages";
/// By which a client says that it speaks this dialect.
pub(crate) const VERSION: HeaderName = HeaderName::from_static("anthropic-version");
pub(crate) const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// Where this dialect has the name of a request.
const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

/// What the way back needs.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) way: Way,
    pub(crate) warnings: Vec<String>,
}

/// The way an answer came.
#[derive(Debug)]
pub(crate) enum Way {
    /// In Claude's own language.
    Native,
    Converse(Box<ReplyContext>),
}

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(RequestId(id)): Extension<RequestId>,
    request: Request,
) -> Response {
    let mut account = Account::open(state.metrics(), PATH, "chat", &id);
    let accepted = match accept(&state, request, &mut account).await {
        Ok(accepted) => accepted,
        Err(error) => return refuse(&mut account, &error),
    };
    let warnings = accepted.call.first.context.warnings.clone();
    let result = if accepted.stream {
        let dialect = stream::Messages {
            identity: accepted.identity,
        };
        match sse::open(accepted.call, dialect, account).await {
            Ok(response) => Ok(response),
            Err(mut failed) => {
                let (account, error) = failed.as_mut();
                return refuse(account, error);
            }
        }
    } else {
        let result = whole(accepted, &mut account).await;
        match result {
            Ok(response) => {
                account.succeeded();
                Ok(response)
            }
            Err(error) => Err((account, error)),
        }
    };
    match result {
        Ok(mut response) => {
            add_warnings(response.headers_mut(), &warnings);
            named(response, &id)
        }
        Err((mut account, error)) => refuse(&mut account, &error),
    }
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

/// A request that may go upstream.
struct Accepted {
    call: Call<Context>,
    identity: ResponseIdentity,
    stream: bool,
}

async fn accept(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Accepted, GatewayError> {
    let given = Given::of(request.headers());
    let Admitted {
        live,
        body,
        model,
        stream,
        targets,
        first: target,
    } = admit(state, request, account).await?;
    let mut fetched = BTreeMap::new();
    let first = match prepare(&live, &body, &given, &target, &fetched)? {
        Step::Ready(prepared) => *prepared,
        Step::Fetch(wanted) => {
            fetched = state.fetcher().fetch_all(&wanted).await?;
            prepare(&live, &body, &given, &target, &fetched)?.ready()?
        }
    };
    let shared = Arc::clone(&live);
    let prepare: Prepare<Context> =
        Arc::new(move |target| prepare(&shared, &body, &given, target, &fetched)?.ready());
    Ok(Accepted {
        call: Call {
            state: state.clone(),
            live,
            targets,
            prepare,
            first,
        },
        identity: ResponseIdentity {
            id: format!("msg_{:032x}", fastrand::u128(..)),
            model,
        },
        stream,
    })
}

async fn whole(accepted: Accepted, account: &mut Account) -> Result<Response, GatewayError> {
    let Answer {
        content,
        headers,
        context,
        ..
    } = accepted.call.perform(account.trace()).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    let body = match context.way {
        Way::Native => {
            if let Some(usage) = usage_of(&body) {
                account.used(usage);
            }
            Body::from(body)
        }
        Way::Converse(reply) => {
            let answer = read_answer(&body)?;
            account.used(answer.usage);
            Body::from(encode_response(&answer, &reply, &accepted.identity)?.body)
        }
    };
    Ok(json(body, &headers))
}

/// An answer that is JSON.
pub(crate) fn json(body: impl Into<Body>, upstream: &HeaderMap) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    pass_request_id(upstream, response.headers_mut());
    response
}
