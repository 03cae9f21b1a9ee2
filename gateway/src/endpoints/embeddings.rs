//! `POST /v1/embeddings`: one request, as many calls of InvokeModel as its model needs.
//! <https://platform.openai.com/docs/api-reference/embeddings/create>
//!
//! Calls go out a few at a time and their vectors come back in the order of the texts. Only targets of
//! one and the same model stand in for each other: vectors of different models do not mix.

use std::{pin::pin, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::converse::TokenUsage;
use bytes::Bytes;
use dialects::openai::{
    EmbeddingCall, EmbeddingResult, ResponseIdentity, decode_embeddings, encode_embeddings,
    read_embedding_response,
};
use futures::{StreamExt, TryStreamExt, stream};
use http::{HeaderMap, HeaderName};

use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        admit::{Admitted, admit},
        driver::{json, refuse},
        record::{Account, Calls},
        route::Target,
    },
    server::router::{State, seconds},
    telemetry::request_id::Arrival,
    upstream::{
        call::{Answer, Call, Content, Prepared},
        operation::Operation,
    },
};

pub(crate) const PATH: &str = "/v1/embeddings";
/// Calls of one request at once.
const AT_ONCE: usize = 8;
const TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-input-token-count");

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let mut account = Account::open(&state, &arrival, PATH, "embeddings");
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
        mut targets,
        first,
        ..
    } = admit(state, request, account).await?;
    let decoded = decode_embeddings(&body, &first.capabilities, live.config.strict)?;
    targets.retain(|target| target.capabilities.embedding == first.capabilities.embedding);

    let empty = account.calls().fork();
    let results = stream::iter(decoded.calls)
        .map(|call| embed(state, &live, &targets, call, empty.fork()))
        .buffered(AT_ONCE);
    let mut results = pin!(results);
    let mut tokens: u64 = 0;
    let mut vectors = Vec::new();
    while let Some((result, count, calls)) = results.try_next().await? {
        tokens = tokens.saturating_add(count);
        account.join(calls);
        // After each, so that what was used is known also when the next one fails.
        account.used(usage(tokens));
        vectors.push(result);
    }
    let identity = ResponseIdentity {
        id: String::new(),
        created: seconds(state.now()),
        model,
    };
    let body = encode_embeddings(&vectors, tokens, decoded.base64, &identity);
    Ok(json(body, &HeaderMap::new(), &decoded.warnings))
}

/// One call; gives its vectors, its tokens, and what became of its tries.
async fn embed(
    state: &State,
    live: &Arc<Live>,
    targets: &[Arc<Target>],
    mut call: EmbeddingCall,
    mut calls: Calls,
) -> Result<(EmbeddingResult, u64, Calls), GatewayError> {
    let body = Bytes::from(std::mem::take(&mut call.body));
    let prepared = move |body: Bytes| Prepared {
        operation: Operation::InvokeModel,
        headers: HeaderMap::new(),
        body,
        warnings: Vec::new(),
        context: (),
    };
    let first = prepared(body.clone());
    let upstream = Call {
        state: state.clone(),
        live: Arc::clone(live),
        targets: targets.to_vec(),
        prepare: Arc::new(move |_| Ok(prepared(body.clone()))),
        first,
    };
    let Answer {
        content, headers, ..
    } = upstream.perform(&mut calls).await?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream where none was asked for"));
    };
    let result = read_embedding_response(&call, &body)?;
    let tokens = result.tokens.or_else(|| counted(&headers)).unwrap_or(0);
    calls.complete(Some(usage(tokens)));
    Ok((result, tokens, calls))
}

/// Tokens of a prompt to which nothing is written.
pub(crate) fn usage(tokens: u64) -> TokenUsage {
    TokenUsage {
        input_tokens: tokens,
        total_tokens: tokens,
        ..TokenUsage::default()
    }
}

/// Tokens of the texts as the header says.
pub(crate) fn counted(headers: &HeaderMap) -> Option<u64> {
    headers.get(&TOKENS)?.to_str().ok()?.parse().ok()
}
