//! Bedrock Runtime and the control plane: who may call what, which model answers, and the operations.
//!
//! A reply follows from its request alone (`script.rs` says how), so a test can tell a right answer from a
//! canned one.

mod authorize;
mod catalog;
mod chat;
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
mod script;
mod stream;
pub(crate) mod surface;
mod turn;
mod validate;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::response::Response;

pub use catalog::CatalogError;
pub use reply::{reasoning_signature, redacted_reasoning};

use crate::auth::{Caller, Protocol, authenticate};
use crate::config::Config;
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::record::Call;
use crate::server::{Incoming, Shared};
use catalog::{Catalog, Target};
use guardrail::Named;
use surface::Surfaces;

/// Bedrock's catalogue, and hashes of the prompt prefixes in its cache.
#[derive(Debug)]
pub(crate) struct Bedrock {
    pub(crate) catalog: Catalog,
    pub(crate) surfaces: Surfaces,
    cached_prefixes: Mutex<BTreeSet<String>>,
}

impl Bedrock {
    pub(crate) fn new(config: &Config) -> Result<Self, CatalogError> {
        let catalog = Catalog::new(config)?;
        Ok(Self {
            surfaces: Surfaces::new(&catalog)?,
            catalog,
            cached_prefixes: Mutex::default(),
        })
    }
}

pub(crate) async fn answer(
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
        return surface::answer(shared, incoming, call, fault).await;
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
    let named = Named::of(incoming);
    let target = target(shared, call, &caller, action, named.as_ref())?;
    let guardrail = guardrail::applied(shared, named.as_ref())?;
    match call.operation.as_str() {
        "Converse" => converse::answer(shared, incoming, call, &target, guardrail).await,
        "ConverseStream" => {
            converse::answer_streamed(shared, incoming, call, &target, guardrail, fault).await
        }
        "CountTokens" => count_tokens::answer(incoming, &target),
        _ => invoke::answer(shared, incoming, call, &target, guardrail, fault).await,
    }
}

/// Finds the model of a call and asks whether the caller may use it.
fn target(
    shared: &Shared,
    call: &Call,
    caller: &Caller,
    action: &str,
    guardrail: Option<&Named>,
) -> Result<Target, AwsError> {
    let id = call.model.clone().unwrap_or_default();
    let target = shared.bedrock.catalog.resolve(&id, &caller.region)?;
    let guardrail = guardrail.map(|named| {
        authorize::guardrail_arn(
            &shared.account.config.partition,
            caller,
            &named.identifier,
            &named.version,
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
