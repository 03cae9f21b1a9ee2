//! Bedrock Runtime and the control plane: authorization, model resolution, and the operations.
//!
//! A response depends on its request only (see `script.rs`), so that a test can check whether the request arrived
//! unchanged.

mod assistant;
mod authorize;
mod cache;
mod catalog;
mod chat;
mod claude;
pub(crate) mod control;
mod converse;
mod count_tokens;
mod guardrail;
mod invoke;
mod json;
mod messages;
mod prompt;
mod reply;
mod responses;
#[cfg(test)]
mod rules;
mod script;
pub(crate) mod served_apis;
mod stream;
mod turn;
mod validate;

use std::sync::Arc;

use axum::response::Response;

pub use catalog::CatalogError;
pub use reply::{reasoning_signature, redacted_reasoning};

use crate::auth::{Caller, Protocol, authenticate};
use crate::config::Config;
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::{Incoming, Shared};
use cache::PromptCache;
use catalog::{Catalog, Target};
use guardrail::GuardrailReference;
use served_apis::ServedApis;

/// The model catalog, the served APIs, and the prompt cache.
#[derive(Debug)]
pub(crate) struct Bedrock {
    pub(crate) catalog: Catalog,
    pub(crate) served_apis: ServedApis,
    prompt_cache: PromptCache,
}

impl Bedrock {
    pub(crate) fn new(config: &Config) -> Result<Self, CatalogError> {
        let catalog = Catalog::new(config)?;
        Ok(Self {
            served_apis: ServedApis::new(&catalog)?,
            catalog,
            prompt_cache: PromptCache::default(),
        })
    }
}

pub(crate) async fn respond(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let operation = call.operation.as_str();
    if [
        "ChatCompletions",
        "CreateResponse",
        "CreateMessage",
        "ListModels",
    ]
    .contains(&operation)
    {
        return served_apis::respond(shared, incoming, call, fault).await;
    }
    let caller = authenticate(shared, incoming, &["bedrock"], Protocol::RestJson)?;
    call.identity = Some(caller.identity.clone());
    call.region = Some(caller.region.clone());
    let action = match call.operation.as_str() {
        "Converse" | "InvokeModel" => "bedrock:InvokeModel",
        "ConverseStream" | "InvokeModelWithResponseStream" => {
            "bedrock:InvokeModelWithResponseStream"
        }
        "CountTokens" => "bedrock:CountTokens",
        "ApplyGuardrail" => return guardrail::apply(shared, incoming, call, &caller),
        _ => return Err(AwsError::named("UnknownOperationException", "")),
    };
    let reference = GuardrailReference::from_request(incoming, &call.operation);
    let target = target(shared, call, &caller, action, reference.as_ref())?;
    let guardrail = guardrail::active(shared, reference.as_ref())?;
    match call.operation.as_str() {
        "Converse" => converse::respond(shared, incoming, call, &target, guardrail).await,
        "ConverseStream" => {
            converse::respond_streamed(shared, incoming, call, &target, guardrail, fault).await
        }
        "CountTokens" => count_tokens::respond(incoming, &target),
        _ => invoke::respond(shared, incoming, call, &target, guardrail, fault).await,
    }
}

/// Resolves the model of a call and checks that the caller may use it.
fn target(
    shared: &Shared,
    call: &Call,
    caller: &Caller,
    action: &str,
    guardrail: Option<&GuardrailReference>,
) -> Result<Target, AwsError> {
    let id = call.model.clone().unwrap_or_default();
    let target = shared.bedrock.catalog.resolve(&id, &caller.region)?;
    let guardrail = guardrail.map(|reference| {
        authorize::guardrail_arn(
            &shared.account.config.partition,
            caller,
            &reference.identifier,
            &reference.version,
        )
    });
    authorize::invoke(caller, action, &target, guardrail.as_deref())?;
    if let Some(arn) = &guardrail {
        let arn = arn.split(':').take(6).collect::<Vec<_>>().join(":");
        authorize::allow(caller, "bedrock:ApplyGuardrail", &arn, &caller.context())?;
    }
    if !target.model.access {
        return Err(AwsError::access_denied(
            "You don't have access to the model with the specified model ID.",
        ));
    }
    if target.profile.is_none() && !target.model.on_demand && action != "bedrock:CountTokens" {
        return Err(AwsError::validation(format!(
            "Invocation of model ID {} with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an inference profile that contains this model.",
            target.model.id
        )));
    }
    Ok(target)
}
