//! `POST /v1/messages/count_tokens`: how long a request is, as Bedrock counts it. Where Bedrock does not
//! count there is a clear refusal, never an estimate.
//! <https://docs.claude.com/en/api/messages-count-tokens>

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Extension,
    extract::{Request, State as FromState},
    response::Response,
};
use bedrock::apis::{BedrockApi, Protocol};
use bytes::Bytes;
use dialects::anthropic::{
    Endpoint, count_by_converse, count_passthrough, encode_count, passthrough, read_count,
};
use http::HeaderMap;

use crate::{
    endpoints::messages::{self, Given, named, refuse},
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        admit::{Admitted, admit},
        converse::options,
        driver::json,
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

pub(crate) const PATH: &str = "/v1/messages/count_tokens";
/// What Bedrock says of models that it does not count for.
const UNCOUNTED: &str = "doesn't support counting tokens";

pub(crate) async fn handle(
    FromState(state): FromState<State>,
    Extension(arrival): Extension<Arrival>,
    request: Request,
) -> Response {
    let mut account = Account::open(&state, &arrival, PATH, "count_tokens");
    match count(&state, request, &mut account).await {
        Ok(response) => {
            account.succeeded();
            named(response, &arrival.id)
        }
        Err(error) => refuse(&mut account, &error),
    }
}

async fn count(
    state: &State,
    request: Request,
    account: &mut Account,
) -> Result<Response, GatewayError> {
    let given = Given::of(request.headers());
    let Admitted {
        live,
        body,
        model,
        targets,
        ..
    } = admit(state, request, account).await?;
    let targets = targets
        .iter()
        .map(countable)
        .collect::<Result<Vec<_>, _>>()?;
    let target = targets
        .first()
        .ok_or(GatewayError::Internal("a route without a target"))?;
    let first = prepare(&live, &body, &given, target)?;
    let shared = Arc::clone(&live);
    let prepare: Prepare<()> = Arc::new(move |target| prepare(&shared, &body, &given, target));
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
        target,
        ..
    } = call
        .perform(account.calls())
        .await
        .map_err(|error| uncounted(error, &model))?;
    let Content::Whole(body) = content else {
        return Err(GatewayError::Internal("a stream of a count"));
    };
    let body = if endpoint(&target).is_some() {
        body
    } else {
        let tokens = read_count(&body)
            .ok_or_else(|| GatewayError::Unreadable("no count of tokens".to_owned()))?;
        Bytes::from(encode_count(tokens))
    };
    Ok(json(body, &headers, &warnings))
}

/// The api that counts in this dialect itself.
fn endpoint(target: &Target) -> Option<BedrockApi> {
    let api = target.capabilities.apis.messages?;
    api.path(Protocol::CountMessageTokens).map(|_| api)
}

/// The target as Bedrock counts for it: CountTokens takes foundation models only, no profiles.
fn countable(target: &Arc<Target>) -> Result<Arc<Target>, GatewayError> {
    if endpoint(target).is_some() {
        return Ok(Arc::clone(target));
    }
    target
        .foundation_model()
        .map(Arc::new)
        .ok_or_else(|| GatewayError::TokensUncounted {
            model: target.model_id.clone(),
            why: "its id hides the foundation model, which Bedrock counts by; the gateway's \
                  administrator can name it as baseModel of the target",
        })
}

fn prepare(
    live: &Live,
    body: &[u8],
    given: &Given,
    target: &Target,
) -> Result<Prepared<()>, GatewayError> {
    let fetched = BTreeMap::new();
    let options = options(live, target, &fetched);
    let betas = given.betas();
    if let Some(api) = endpoint(target) {
        let door = Endpoint::Anthropic {
            model: &target.model_id,
        };
        let native = passthrough(body, &betas, door, &options)?;
        return Ok(Prepared {
            operation: Operation::Passthrough {
                api,
                protocol: Protocol::CountMessageTokens,
                stream: false,
            },
            headers: given.headers(&native.betas)?,
            body: Bytes::from(native.body),
            warnings: native.warnings,
            context: (),
        });
    }
    let (body, warnings) = match target.capabilities.apis.messages {
        None => return Err(messages::unserved(target)),
        Some(BedrockApi::InvokeModel) => count_passthrough(body, &betas, &options)?,
        Some(_) => count_by_converse(body, &betas, &options)?,
    };
    Ok(Prepared {
        operation: Operation::CountTokens,
        headers: HeaderMap::new(),
        body: Bytes::from(body),
        warnings,
        context: (),
    })
}

/// Bedrock's refusal to count as what it is to this dialect: something that is not there.
fn uncounted(error: GatewayError, model: &str) -> GatewayError {
    match &error {
        GatewayError::Service(refusal) if refusal.error.message.contains(UNCOUNTED) => {
            GatewayError::TokensUncounted {
                model: model.to_owned(),
                why: "Bedrock counts for some models only; send the request and read usage",
            }
        }
        _ => error,
    }
}
