//! Bedrock's own API: `/model/{id}/converse` and the other operations that AWS SDKs call.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
//!
//! The bodies of requests and responses are forwarded unchanged, streams byte by byte. The gateway authenticates the
//! client, checks the model, adds the guardrail that the configuration forces, signs, retries before the first byte,
//! and records the request.

mod error;
mod guard;
mod headers;
pub(crate) mod listing;
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
use http::{HeaderMap, Method};

use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
    },
    pipeline::{
        active_config::ActiveConfig,
        admit::{Admitted, admit},
        authenticate::Caller,
        record::RequestRecord,
        state::State,
    },
    telemetry::{OTHER, request_id::RequestContext},
    upstream::{
        call::Prepared,
        guardrail,
        operation::Operation,
        response::{Content, UpstreamResponse},
        target::{Target, Targets},
    },
};
use path::ApiRequest;

/// An id may contain slashes, encoded or not.
pub(crate) const MODEL_PATH: &str = "/model/{*rest}";
pub(crate) const GUARDRAIL_PATH: &str = "/guardrail/{*rest}";

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(context): Extension<RequestContext>,
    request: Request,
) -> Response {
    let api_request = ApiRequest::parse(request.uri().path());
    let (route, label) = api_request.as_ref().map_or((OTHER, ""), ApiRequest::labels);
    let mut record = RequestRecord::open(&state, &context, route, label);
    let Some(api_request) = api_request else {
        let path = request.uri().path().to_owned();
        return reject(&mut record, &GatewayError::UnknownPath { path });
    };
    let (active, response) = match forward(&state, &api_request, request, &mut record).await {
        Ok(response) => response,
        Err(error) => return reject(&mut record, &error),
    };
    let headers = headers::for_client(&response.headers);
    let body = match response.content {
        Content::Whole(body) => {
            let usage = usage::of_response(api_request.operation, &response.headers, &body);
            if let Some(usage) = usage {
                record.set_usage(usage);
            }
            record.succeeded();
            Body::from(body)
        }
        Content::Stream(frames) => {
            stream::forward(&state, &active, *frames, response.target, record)
        }
        Content::Events(_) => {
            return reject(&mut record, &GatewayError::Internal("unexpected events"));
        }
    };
    let mut response = Response::new(body);
    *response.headers_mut() = headers;
    response
}

fn reject(record: &mut RequestRecord, error: &GatewayError) -> Response {
    record.failed(error);
    error::response(error, record.request_id())
}

/// Admits the request, routes it and sends it.
async fn forward(
    state: &State,
    api_request: &ApiRequest,
    request: Request,
    record: &mut RequestRecord,
) -> Result<(Arc<ActiveConfig>, UpstreamResponse<()>)> {
    if request.method() != Method::POST {
        return Err(GatewayError::WrongMethod {
            path: request.uri().path().to_owned(),
            method: request.method().to_string(),
            allowed: "POST",
        });
    }
    let Admitted {
        active,
        caller,
        parts,
        body,
    } = admit(state, request, Dialect::Bedrock, record).await?;
    let targets = route(&active, api_request, &caller, record)?;
    let prepare = prepare(&active.config, api_request.operation, &parts.headers, body)?;
    let first = prepare(&targets.first)?;
    let call = state.call(&active, &targets, prepare);
    let response = call.perform(first, record.calls()).await?;
    Ok((active, response))
}

fn route(
    active: &ActiveConfig,
    api_request: &ApiRequest,
    caller: &Caller,
    record: &mut RequestRecord,
) -> Result<Targets> {
    let routes = &active.routes;
    let id = &api_request.id;
    if let Some(version) = &api_request.guardrail_version {
        return Ok(Targets::one(routes.guardrail(id, version)));
    }
    let mut targets = routes.resolve(id, caller, fastrand::u64(..))?;
    if api_request.operation == Operation::CountTokens && routes.is_configured(id) {
        // CountTokens supports foundation models only, and the client does not know what the name stands for.
        targets = targets.try_map(|target| {
            let model = target.foundation_model().map(Arc::new);
            Ok::<_, GatewayError>(model.unwrap_or_else(|| Arc::clone(target)))
        })?;
    }
    record.set_model(id, routes.is_configured(id), api_request.is_stream());
    Ok(targets)
}

/// Prepares the request, which is the same for all targets except for headers of the guardrail.
fn prepare(
    config: &GatewayConfig,
    operation: Operation,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<impl Fn(&Target) -> Result<Prepared<()>> + use<>> {
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
    Ok(move |target: &Target| {
        let apis = &target.capabilities.apis;
        // Bedrock rejects guardrails for models that generate no content.
        let unguarded = apis.embeddings.is_some() || apis.rerank.is_some();
        Ok(Prepared {
            headers: if unguarded { &plain } else { &guarded }.clone(),
            ..Prepared::new(operation, body.clone(), ())
        })
    })
}
