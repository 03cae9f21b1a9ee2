//! `POST /v1/rerank` and `/v2/rerank`: one call of InvokeModel, in the shape of Cohere's and Jina's clients.
//! <https://docs.cohere.com/reference/rerank>

use std::sync::Arc;

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bytes::Bytes;
use dialects::rerank::{RerankRequest, decode_rerank, encode_rerank, read_rerank_response};
use http::HeaderMap;

use crate::{
    endpoints::embeddings::{counted, usage},
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        admit::{Admitted, admit},
        driver::{json, refuse},
        record::Account,
        route::Target,
    },
    server::router::State,
    telemetry::request_id::Arrival,
    upstream::{
        call::{Answer, Call, Content, Prepare, Prepared},
        operation::Operation,
    },
};

pub(crate) const PATH: &str = "/v1/rerank";
pub(crate) const V2_PATH: &str = "/v2/rerank";

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let mut account = Account::open(&state, &arrival, PATH, "rerank");
    match answer(&state, request, &mut account).await {
        Ok(response) => {
            account.succeeded();
            response
        }
        Err(error) => refuse(&mut account, &error),
    }
}

async fn answer(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Response, GatewayError> {
    let Admitted {
        live,
        body,
        model,
        targets,
        first,
        ..
    } = admit(state, request, account).await?;
    let first = prepared(&live, &first, &body)?;
    let shared = Arc::clone(&live);
    let prepare: Prepare<RerankRequest> = Arc::new(move |target| prepared(&shared, target, &body));
    let call = Call {
        state: state.clone(),
        live,
        targets,
        prepare,
        first,
    };
    let Answer {
        content,
        headers,
        warnings,
        context,
        ..
    } = call.perform(account.calls()).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    let ranked = read_rerank_response(&context, &body)?;
    let tokens = counted(&headers).unwrap_or(0);
    account.used(usage(tokens));
    let id = account.request_id();
    let body = encode_rerank(&context, &ranked, id, &model, tokens);
    Ok(json(body, &headers, &warnings))
}

fn prepared(
    live: &Live,
    target: &Target,
    body: &[u8],
) -> Result<Prepared<RerankRequest>, GatewayError> {
    let mut request = decode_rerank(body, &target.capabilities, live.config.strict)?;
    Ok(Prepared {
        operation: Operation::InvokeModel,
        headers: HeaderMap::new(),
        body: Bytes::from(std::mem::take(&mut request.body)),
        warnings: std::mem::take(&mut request.warnings),
        context: request,
    })
}
