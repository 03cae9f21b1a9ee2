//! Endpoints that need several calls for one request, such as one for each text to embed.
//!
//! The calls run concurrently and their results keep the order. Only targets with a similar model may serve the
//! calls of one request.

use std::pin::pin;

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::converse::TokenUsage;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;

use super::{
    context::RequestContext,
    cost::OtherUnits,
    driver::finish,
    endpoint::{Media, TargetRequest},
    exchange::Routed,
    record::RequestRecord,
    state::State,
};
use crate::{
    http::{dialect::Dialect, error::Result, response::json, time::seconds},
    telemetry::timing::Step,
    upstream::{
        call::Prepared, call_record::CallRecord, guardrail, operation::Operation,
        response::UpstreamResponse, target::Target,
    },
};

/// The bodies of the calls, each with the state to read its response.
pub(crate) type Calls<C> = Vec<(Bytes, C)>;

/// An endpoint with several calls of InvokeModel for one request.
pub(crate) trait BatchEndpoint: Sized + Send + Sync + 'static {
    /// Path, and label of metrics and spans.
    const PATH: &'static str;
    /// Operation in metrics and spans.
    const OPERATION: &'static str;
    /// Maximum number of concurrent calls.
    const CONCURRENCY: usize;
    /// State of one call, to read its response.
    type Call: Send + 'static;
    /// Result of one call.
    type Output: Send + 'static;

    /// Whether two targets give equivalent results.
    fn is_similar(one: &Target, other: &Target) -> bool;

    /// Decodes the request into the bodies of its calls.
    ///
    /// # Errors
    /// 400 when the model does not support the request.
    fn decode(request: TargetRequest<'_>) -> Result<(Self, Calls<Self::Call>)>;

    /// Reads the response of one call, with its token usage if any.
    ///
    /// # Errors
    /// When the response is unreadable.
    fn read(
        call: Self::Call,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Self::Output, Option<TokenUsage>)>;

    /// What Bedrock bills for one call besides tokens.
    fn other_units(output: &Self::Output) -> OtherUnits;

    /// Encodes the results, and returns the body with warnings. `created` is in seconds since 1970.
    fn encode(
        self,
        outputs: &[Self::Output],
        usage: TokenUsage,
        model: String,
        created: u64,
    ) -> (Vec<u8>, Vec<String>);
}

/// Serves a batch endpoint.
pub(crate) async fn serve<E: BatchEndpoint>(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let mut record = RequestRecord::open(&state, &context, E::PATH, E::OPERATION);
    let response = respond::<E>(&state, request, &mut record).await;
    finish(response, Dialect::OpenAi, record)
}

async fn respond<E: BatchEndpoint>(
    state: &State,
    request: Request,
    record: &mut RequestRecord,
) -> Result<Response> {
    let mut routed = Routed::new(state, request, Dialect::OpenAi, record).await?;
    let media = Media::new();
    let first = routed.for_target(&routed.targets.first, &media);
    guardrail::reject(first.headers)?;
    let decode = || E::decode(first);
    let (endpoint, calls) = state.decoders().run(first.body.len(), decode).await?;
    record.end(Step::Decode);
    routed.targets.retain_similar(E::is_similar);
    record.calls().is_sent = true;
    let empty = record.calls().fork();
    let results = stream::iter(calls)
        .map(|(body, call)| perform::<E>(state, &routed, body, call, empty.fork()))
        .buffered(E::CONCURRENCY);
    let mut results = pin!(results);
    let mut total = TokenUsage::default();
    let mut outputs = Vec::new();
    while let Some((output, usage, calls)) = results.try_next().await? {
        record.calls().join(calls);
        record.add_call(&usage.unwrap_or_default(), E::other_units(&output));
        if let Some(usage) = usage {
            total.input_tokens = total.input_tokens.saturating_add(usage.input_tokens);
            total.total_tokens = total.total_tokens.saturating_add(usage.total_tokens);
            // After each call, so that the usage is recorded even if the next one fails.
            record.set_usage(total);
        }
        outputs.push(output);
    }
    record.end(Step::Upstream);
    let created = seconds(state.now());
    let (body, mut warnings) = endpoint.encode(&outputs, total, routed.head.model.clone(), created);
    warnings.extend(routed.repair_warning());
    record.set_warnings(&warnings);
    Ok(json(body, &HeaderMap::new(), &warnings))
}

/// Performs one call.
async fn perform<E: BatchEndpoint>(
    state: &State,
    routed: &Routed,
    body: Bytes,
    call: E::Call,
    mut calls: CallRecord,
) -> Result<(E::Output, Option<TokenUsage>, CallRecord)> {
    let prepare = |_: &Target| Ok(Prepared::new(Operation::InvokeModel, body.clone(), ()));
    let first = Prepared::new(Operation::InvokeModel, body.clone(), ());
    let UpstreamResponse {
        content, headers, ..
    } = state
        .call(&routed.active, &routed.targets, prepare)
        .perform(first, &mut calls)
        .await?;
    let (output, usage) = E::read(call, &headers, &content.whole()?)?;
    calls.complete(usage);
    Ok((output, usage, calls))
}

/// Usage of a request without output tokens.
pub(crate) fn input_usage(tokens: u64) -> TokenUsage {
    TokenUsage {
        input_tokens: tokens,
        total_tokens: tokens,
        ..TokenUsage::default()
    }
}
