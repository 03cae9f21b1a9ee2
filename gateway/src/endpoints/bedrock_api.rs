//! Bedrock's own API: `/model/{id}/converse` and its like, as every AWS SDK calls it.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
//!
//! The body goes to Bedrock as it came and the answer to the client as it came; a stream is passed on
//! byte by byte. What is the gateway's: who calls, which model that may be, the guardrail that the
//! configuration forces, the signature, another try before the first byte, and the account of it all.

mod error;
mod guard;
mod headers;
mod path;
mod stream;
mod usage;

use std::sync::Arc;

use api::GatewayConfig;
use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use bytes::Bytes;
use http::{HeaderMap, Method, request::Parts};

use crate::{
    http::{error::GatewayError, request_guards::read_body},
    pipeline::{
        active_config::Live,
        authenticate::{Caller, Proof},
        record::{Account, NO_ROUTE},
        route::Target,
    },
    server::router::State,
    telemetry::request_id::Arrival,
    upstream::{
        call::{Answer, Call, Content, Prepare, Prepared},
        guardrail,
        operation::Operation,
    },
};
use path::Asked;

/// Ids may hold slashes, encoded or not.
pub(crate) const MODEL_PATH: &str = "/model/{*rest}";
pub(crate) const GUARDRAIL_PATH: &str = "/guardrail/{*rest}";

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let asked = Asked::read(request.uri().path());
    let (route, label) = asked.as_ref().map_or((NO_ROUTE, ""), Asked::labels);
    let mut account = Account::open(&state, &arrival, route, label);
    let Some(asked) = asked else {
        let path = request.uri().path().to_owned();
        return refuse(&mut account, &GatewayError::UnknownPath { path });
    };
    let (live, answer) = match ask(&state, &asked, request, &mut account).await {
        Ok(answered) => answered,
        Err(error) => return refuse(&mut account, &error),
    };
    let headers = headers::for_client(&answer.headers);
    let body = match answer.content {
        Content::Whole(body) => {
            if let Some(usage) = usage::of_answer(asked.operation, &answer.headers, &body) {
                account.used(usage);
            }
            account.succeeded();
            Body::from(body)
        }
        Content::Stream(frames) => stream::forward(&state, &live, *frames, &answer.target, account),
        Content::Events(_) => {
            let error = GatewayError::Internal("server-sent events where none were asked for");
            return refuse(&mut account, &error);
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

/// Whether a client speaks Bedrock's own language, which the path tells.
pub(crate) fn is_spoken(path: &str) -> bool {
    [MODEL_PATH, GUARDRAIL_PATH]
        .iter()
        .any(|route| path.starts_with(route.trim_end_matches("{*rest}")))
}

fn refuse(account: &mut Account, error: &GatewayError) -> Response {
    account.failed(error);
    error::response(error, account.request_id())
}

/// Steps 1 to 5: who asks, for what, where to, and there.
async fn ask(
    state: &State,
    asked: &Asked,
    request: Request,
    account: &mut Account,
) -> Result<(Arc<Live>, Answer<()>), GatewayError> {
    if request.method() != Method::POST {
        return Err(GatewayError::WrongMethod {
            path: request.uri().path().to_owned(),
            method: request.method().to_string(),
            allowed: "POST",
        });
    }
    let live = state.live();
    account.hold(state.in_flight().enter(live.config.limits.max_in_flight)?);
    let (parts, body) = request.into_parts();
    let proof = live.authenticator.proof(&parts.headers, state.now())?;
    let body = read_body(body, live.config.limits.max_body_bytes).await?;
    let caller = known(state, &live, proof, &parts, &body)?;
    account.caller(&caller.name);
    state
        .take(&live, &caller.name, &parts.extensions, account)
        .await?;
    let targets = targets(&live, asked, &caller, account)?;
    let prepare = prepare(&live.config, asked.operation, &parts.headers, body)?;
    let first = targets
        .first()
        .ok_or(GatewayError::Internal("a route without a target"))?;
    let call = Call {
        state: state.clone(),
        live: Arc::clone(&live),
        first: prepare(first)?,
        targets,
        prepare,
    };
    Ok((live, call.perform(account.calls()).await?))
}

fn known(
    state: &State,
    live: &Live,
    proof: Proof,
    parts: &Parts,
    body: &[u8],
) -> Result<Caller, GatewayError> {
    match proof {
        Proof::Given(caller) => Ok(caller),
        Proof::Signed(client) => live.authenticator.verify(&client, parts, body, state.now()),
    }
}

fn targets(
    live: &Live,
    asked: &Asked,
    caller: &Caller,
    account: &mut Account,
) -> Result<Vec<Arc<Target>>, GatewayError> {
    if let Some(version) = &asked.guardrail_version {
        return Ok(vec![Arc::new(live.routes.guardrail(&asked.id, version))]);
    }
    let targets = live.routes.resolve(&asked.id, caller, fastrand::u64(..))?;
    let is_configured = live.routes.is_configured(&asked.id);
    account.model(&asked.id, is_configured, asked.is_stream());
    Ok(targets)
}

/// What each target gets: the same, but for a guardrail's headers where they have a meaning.
fn prepare(
    config: &GatewayConfig,
    operation: Operation,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<Prepare<()>, GatewayError> {
    let plain = headers::for_bedrock(headers);
    let mut body = body;
    let mut guarded = plain.clone();
    if let Some(forced) = &config.guardrail {
        match operation {
            Operation::Converse | Operation::ConverseStream => {
                body = guard::converse(&body, forced)?;
            }
            Operation::InvokeModel | Operation::InvokeModelWithResponseStream => {
                guard::invoke(&plain, &body, forced)?;
                guardrail::force(config, operation, &mut guarded)?;
            }
            _ => {}
        }
    }
    Ok(Arc::new(move |target: &Target| {
        let apis = &target.capabilities.apis;
        // Guardrails judge what people and models say; for these models Bedrock refuses them.
        let silent = apis.embeddings.is_some() || apis.rerank.is_some();
        Ok(Prepared {
            operation,
            headers: if silent { &plain } else { &guarded }.clone(),
            body: body.clone(),
            warnings: Vec::new(),
            context: (),
        })
    }))
}
