//! The driver of all endpoints: from the HTTP request to the recorded response.

use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use http::{HeaderMap, HeaderValue, header};

use super::{
    active_config::ActiveConfig,
    context::RequestContext,
    endpoint::{Endpoint, Reply, StreamingEndpoint},
    exchange::Exchange,
    record::RequestRecord,
    state::State,
    stream,
};
use crate::{
    http::{
        dialect::Dialect,
        error::{Result, SHOULD_RETRY},
        held::Held,
        response::{self, add_cache_report, add_cost, json, with_request_id},
    },
    measure::{self, Step},
    telemetry::timing,
    upstream::{call::Prepared, response::UpstreamResponse},
};

/// Serves an endpoint without streams.
pub(crate) async fn serve<E: Endpoint>(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let mut record = RequestRecord::open(&state, &context, E::PATH, E::OPERATION);
    let response = match Exchange::<E>::new(state, request, &mut record).await {
        Ok((exchange, first)) => whole(&exchange, first, &mut record).await,
        Err(error) => Err(error),
    };
    finish(response, E::DIALECT, record)
}

/// Serves an endpoint with streams; the request decides.
pub(crate) async fn serve_streaming<E: StreamingEndpoint>(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let mut record = RequestRecord::open(&state, &context, E::PATH, E::OPERATION);
    let response = match Exchange::<E>::new(state, request, &mut record).await {
        Ok((exchange, first)) if exchange.routed.head.stream => {
            match stream::open(exchange, first, record).await {
                Ok(response) => return with_request_id(response, E::DIALECT, &context.id),
                Err(failed) => return finish(Err(failed.1), E::DIALECT, failed.0),
            }
        }
        Ok((exchange, first)) => whole(&exchange, first, &mut record).await,
        Err(error) => Err(error),
    };
    finish(response, E::DIALECT, record)
}

/// Serves an endpoint that the gateway answers itself. `find` returns the name of the client, empty if irrelevant,
/// and the JSON body.
pub(crate) fn serve_locally(
    state: &State,
    context: &RequestContext,
    (path, dialect): (&'static str, Dialect),
    find: impl FnOnce(&ActiveConfig) -> Result<(String, Vec<u8>)>,
) -> Response {
    let mut record = RequestRecord::open(state, context, path, "");
    let response = find(&state.active()).map(|(client, body)| {
        record.set_client(&client);
        json(body, &HeaderMap::new(), &[])
    });
    finish(response, dialect, record)
}

/// Records the outcome and encodes an error in the dialect. The record is closed when the response is sent.
pub(crate) fn finish(
    response: Result<Response>,
    dialect: Dialect,
    mut record: RequestRecord,
) -> Response {
    let response = match response {
        Ok(response) => {
            record.succeeded();
            response
        }
        Err(error) => {
            record.failed(&error);
            let mut response = response::error(&error, dialect, record.request_id());
            // The gateway has retried; each retry of an SDK would be several calls. With a time to wait they are few, and
            // agents such as Claude Code would end their session instead.
            let retried = error.is_transient() && record.calls().attempts > 1;
            if retried && !response.headers().contains_key(header::RETRY_AFTER) {
                let never = HeaderValue::from_static("false");
                response.headers_mut().insert(SHOULD_RETRY, never);
            }
            response
        }
    };
    let mut response = with_request_id(response, dialect, record.request_id());
    add_cache_report(response.headers_mut(), record.cache_report());
    if let Some(cost) = record.cost_report() {
        add_cost(response.headers_mut(), &cost.header());
    }
    held(response, record)
}

/// The response, with the record that is closed when it is sent.
pub(crate) fn held(response: Response, record: RequestRecord) -> Response {
    response.map(|body| Body::new(Held::new(body, record)))
}

/// The complete response.
async fn whole<E: Endpoint>(
    exchange: &Exchange<E>,
    first: Prepared<E::Context>,
    record: &mut RequestRecord,
) -> Result<Response> {
    let UpstreamResponse {
        content,
        headers,
        warnings,
        context,
        ..
    } = exchange.perform(first, record.calls()).await?;
    record.end(timing::Step::Upstream);
    record.set_warnings(&warnings);
    let body = content.whole()?;
    let length = body.len();
    let reply = Reply {
        context,
        headers: &headers,
        body,
    };
    let encode = || measure::step(Step::Encode, || exchange.endpoint.whole(reply, record));
    let body = exchange.state.decoders().run(length, encode).await?;
    Ok(json(body, &headers, &warnings))
}
