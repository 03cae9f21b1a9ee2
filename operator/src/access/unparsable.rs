//! An object that does not match the schema of `BedrockAccess`, such as one written under an older schema. Its status
//! reports the error; the objects it owns stay as they are.

use api::v1alpha1::{BedrockAccess, condition};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{Api, Resource, api::DynamicObject, core::error_boundary::InvalidObject};
use kube_runtime::controller::Action;
use serde_json::json;

use super::{Context, Error, Guarded, events, publish};

/// Writes the status unless it already reports this error.
///
/// # Errors
/// Always: the object does not parse, or the status could not be written.
pub(super) async fn report(
    object: &Guarded,
    invalid: &InvalidObject,
    context: &Context,
) -> Result<Action, Error> {
    let error = Error::Unparsable(invalid.error.clone());
    let name = invalid.metadata.name.clone().unwrap_or_default();
    let namespace = invalid.metadata.namespace.clone().unwrap_or_default();
    let uid = invalid.metadata.uid.clone().unwrap_or_default();
    let resource = kube::api::ApiResource::erase::<BedrockAccess>(&());
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let Some(found) = api.get_opt(&name).await.map_err(Error::Status)? else {
        return Ok(Action::await_change());
    };
    let conditions = found
        .data
        .pointer("/status/conditions")
        .and_then(|conditions| serde_json::from_value::<Vec<Condition>>(conditions.clone()).ok())
        .unwrap_or_default();
    let message = error.explain();
    let before = conditions
        .iter()
        .find(|condition| condition.type_ == condition::READY);
    let known = before.is_some_and(|ready| {
        ready.message == message && ready.observed_generation == invalid.metadata.generation
    });
    if known {
        return Err(error);
    }
    let make = |type_: &str, status: &str| Condition {
        type_: type_.to_owned(),
        status: status.to_owned(),
        reason: error.reason().to_owned(),
        message: message.clone(),
        observed_generation: invalid.metadata.generation,
        last_transition_time: Time(Timestamp::now()),
    };
    let ready = make(condition::READY, "False");
    let status = json!({
        "observedGeneration": invalid.metadata.generation,
        "conditions": [ready, make(condition::RECONCILING, "False"), make(condition::STALLED, "True")],
    });
    publish::patch(context, (&namespace, &name), (&uid, None), status).await?;
    events::transition(&object.object_ref(&()), context, before, &ready).await;
    Err(error)
}
