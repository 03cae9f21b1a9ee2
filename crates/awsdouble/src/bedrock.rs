//! Bedrock Runtime: who may call what, and the operations.
//!
//! A reply follows from its request alone (`script.rs` says how), so a test can tell a right answer from a
//! canned one.

mod converse;
mod prompt;
mod reply;
mod script;
mod stream;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::response::Response;

use crate::auth::{Caller, Protocol, authenticate};
use crate::error::AwsError;
use crate::fault::FaultAction;
use crate::policy::{Decision, Request, evaluate};
use crate::record::Call;
use crate::server::{Incoming, Shared};

/// What Bedrock remembers between calls: hashes of the prompt prefixes in its cache.
#[derive(Debug, Default)]
pub(crate) struct Bedrock {
    cached_prefixes: Mutex<BTreeSet<String>>,
}

pub(crate) async fn answer(
    shared: &Arc<Shared>,
    incoming: &Incoming,
    call: &mut Call,
    fault: Option<FaultAction>,
) -> Result<Response, AwsError> {
    let caller = authenticate(shared, incoming, "bedrock", Protocol::RestJson)?;
    call.identity = Some(caller.identity.clone());
    call.region = Some(caller.region.clone());
    let model = call.model.clone().unwrap_or_default();
    let action = match call.operation.as_str() {
        "Converse" | "InvokeModel" => "bedrock:InvokeModel",
        "ConverseStream" | "InvokeModelWithResponseStream" => {
            "bedrock:InvokeModelWithResponseStream"
        }
        "CountTokens" => "bedrock:CountTokens",
        _ => {
            return Err(AwsError::named("UnknownOperationException", ""));
        }
    };
    authorize(&caller, action, &model)?;
    match call.operation.as_str() {
        "Converse" => converse::answer(shared, incoming, call).await,
        "ConverseStream" => converse::answer_streamed(shared, incoming, call, fault).await,
        _ => Err(AwsError::named("UnknownOperationException", "")),
    }
}

fn authorize(caller: &Caller, action: &str, model: &str) -> Result<(), AwsError> {
    let resource = if model.starts_with("arn:") {
        model.to_owned()
    } else {
        format!(
            "arn:aws:bedrock:{}::foundation-model/{model}",
            caller.region
        )
    };
    let context = caller.context();
    let request = Request {
        principal: None,
        action,
        resource: &resource,
        context: &context,
    };
    let why = match evaluate(&caller.policies, request) {
        Decision::Allowed => return Ok(()),
        Decision::ImplicitDeny => {
            format!("because no identity-based policy allows the {action} action")
        }
        Decision::ExplicitDeny => "with an explicit deny in an identity-based policy".to_owned(),
    };
    Err(AwsError::access_denied(format!(
        "User: {} is not authorized to perform: {action} on resource: {resource} {why}",
        caller.identity.arn
    )))
}
