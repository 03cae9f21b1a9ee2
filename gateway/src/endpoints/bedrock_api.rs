//! Bedrock's own API: `/model/{id}/converse` and the other operations that AWS SDKs call.
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_Operations_Amazon_Bedrock_Runtime.html>
//!
//! The bodies of requests and responses are forwarded unchanged, streams byte by byte; only strings that no JSON parser
//! of AWS accepts are repaired. The gateway authenticates the client, checks the model, adds the guardrail that the
//! configuration forces, signs, retries before the first byte, and records the request.

mod error;
mod headers;
pub(crate) mod listing;
mod path;
mod repair;
mod stream;
mod usage;

use std::sync::Arc;

use axum::{
    Extension,
    body::Body,
    extract::{Request, State as FromState},
    response::Response,
};
use http::Method;

use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
        held::Held,
        response::{add_cache_report, add_cost, add_warnings},
    },
    pipeline::{
        active_config::ActiveConfig,
        admit::{Admitted, admit},
        budget::Demand,
        context::RequestContext,
        conversation::{Affinity, Outline},
        exchange::repair_warning,
        record::RequestRecord,
        state::State,
        unrouted::{Unrouted, has_budgets, hold},
    },
    telemetry::{OTHER, timing::Step},
    upstream::{
        call::Prepared,
        operation::Operation,
        response::{Content, UpstreamResponse},
        target::{Target, Targets},
    },
};
use path::ApiRequest;
use usage::{Reported, Watch};

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
    let mut headers = headers::for_client(&response.headers);
    add_warnings(&mut headers, &response.warnings);
    add_cache_report(&mut headers, record.cache_report());
    record.set_warnings(&response.warnings);
    let body = match response.content {
        Content::Whole(body) => {
            match usage::of_response(api_request.operation, &response.headers, &body) {
                Ok(Reported {
                    usage,
                    images,
                    guardrail,
                }) => {
                    if let Some(units) = guardrail {
                        record.set_guardrail_units(&units);
                    }
                    record.set_forwarded_units(images);
                    if let Some(usage) = usage {
                        record.set_usage(usage);
                    }
                }
                // A proxy's page with status 200, for example.
                Err(error) => {
                    return reject(&mut record, &GatewayError::Unreadable(error.to_string()));
                }
            }
            if let Some(cost) = record.cost_report() {
                add_cost(&mut headers, &cost.header());
            }
            record.succeeded();
            Body::new(Held::new(Body::from(body), record))
        }
        Content::Stream(frames) => {
            let is_converse = api_request.operation == Operation::ConverseStream;
            let watch = Watch::new(is_converse, &response.headers);
            let origin = (response.target, response.began);
            stream::forward(&state, &active, (*frames, watch), origin, record)
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
    let (admitted, body) = admit(state, request, Dialect::Bedrock, record).await?;
    let Admitted {
        active,
        caller,
        parts,
    } = &admitted;
    let length = body.len();
    let repair = || {
        let repaired = repair::repaired(body, api_request.operation, active)?;
        if api_request.is_stream() {
            record.estimate_input(&repaired.0);
        }
        let outline = api_request
            .is_chat()
            .then(|| Outline::read(&parts.headers, &repaired.0, false));
        let has_budgets = has_budgets(active, caller, record.calls().operation);
        let demand = has_budgets.then(|| Demand::of(&repaired.0));
        Ok::<_, GatewayError>((repaired, outline.flatten(), demand))
    };
    let ((body, is_repaired), outline, demand) = state.decoders().run(length, repair).await?;
    let (targets, affinity) = if let Some(version) = &api_request.guardrail_version {
        let is_configured = state.settings().config.is_some();
        let targets = guardrail(active, is_configured, &api_request.id, version)?;
        hold(state, &admitted, (demand, &targets), record).await?;
        (targets, Affinity::random())
    } else {
        let unrouted = Unrouted {
            model: &api_request.id,
            is_stream: api_request.is_stream(),
            outline,
            demand,
        };
        let (targets, affinity) = unrouted.route(state, &admitted, record).await?;
        (callable(targets, active, api_request)?, affinity)
    };
    let headers = headers::for_bedrock(&parts.headers);
    let prepare = |_: &Target| {
        Ok(Prepared {
            headers: headers.clone(),
            warnings: is_repaired.then(repair_warning).into_iter().collect(),
            ..Prepared::new(api_request.operation, body.clone(), ())
        })
    };
    let first = prepare(&targets.first)?;
    record.end(Step::Decode);
    let call = state.call(active, &targets, prepare);
    let response = call.perform(first, record.calls()).await?;
    record.end(Step::Upstream);
    state.placements().served(&affinity, &response.target);
    Ok((admitted.active, response))
}

/// The targets with the models that the operation accepts.
fn callable(targets: Targets, active: &ActiveConfig, api_request: &ApiRequest) -> Result<Targets> {
    if api_request.operation != Operation::CountTokens
        || !active.routes.is_configured(&api_request.id)
    {
        return Ok(targets);
    }
    // CountTokens supports foundation models only, and the client does not know what the name stands for.
    targets.try_map(|target| {
        let model = target.foundation_model().map(Arc::new);
        Ok(model.unwrap_or_else(|| Arc::clone(target)))
    })
}

/// The target for applying a guardrail without a model: with a configuration, its guardrail only.
fn guardrail(
    active: &ActiveConfig,
    is_configured: bool,
    id: &str,
    version: &str,
) -> Result<Targets> {
    let one = |id: &str| Targets::one(Arc::new(active.routes.guardrail(id, version)));
    if !is_configured {
        return Ok(one(id));
    }
    let refused = |why: &str| GatewayError::Forbidden {
        message: format!("ApplyGuardrail of {id:?} version {version:?} is not permitted: {why}"),
    };
    let Some(configured) = &active.config.guardrail else {
        return Err(refused("this gateway has no guardrail (`guardrail`)"));
    };
    let own = &configured.identifier;
    let is_same = id == own
        || own
            .rsplit_once(":guardrail/")
            .is_some_and(|(_, own)| own == id);
    if is_same && version == configured.version {
        return Ok(one(own));
    }
    Err(refused(&format!(
        "use the guardrail of this gateway, {own:?} version {:?}",
        configured.version
    )))
}
