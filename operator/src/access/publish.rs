//! Publishes the status of a `BedrockAccess`: writes it if it has changed, and publishes Events for transitions.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::{
    names,
    v1alpha1::{BedrockAccess, condition, status::BedrockAccessStatus},
};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Context, Error, events, status};

/// The status written last, in case the cache lags behind.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    /// Resource version of the object from which the status was computed.
    from: Option<String>,
    status: BedrockAccessStatus,
}

impl Written {
    /// See [`fingerprint`].
    pub(super) fn fingerprint(&self) -> u64 {
        fingerprint(Some(&self.status))
    }
}

/// A hash of the status; stable within this process.
pub(super) fn fingerprint(status: Option<&BedrockAccessStatus>) -> u64 {
    let mut hasher = DefaultHasher::new();
    json!(status).to_string().hash(&mut hasher);
    hasher.finish()
}

/// Computes the status, and writes it if it has changed.
///
/// # Errors
/// When a request to the API server fails.
pub(super) async fn status(
    access: &BedrockAccess,
    context: &Context,
    result: &status::Result<'_>,
) -> Result<BedrockAccessStatus, Error> {
    let uid = access.uid().unwrap_or_default();
    let written = context.memory.written(&uid);
    let lagging = written.filter(|written| written.from == access.metadata.resource_version);
    let previous = lagging
        .as_ref()
        .map(|written| &written.status)
        .or(access.status.as_ref());
    let wanted = status::compute(access, result, previous, Timestamp::now());
    if previous == Some(&wanted) {
        return Ok(wanted);
    }
    let namespace = access.namespace().unwrap_or_default();
    patch(context, &namespace, &access.name_any(), &uid, json!(wanted)).await?;
    let entry = Written {
        from: access.metadata.resource_version.clone(),
        status: wanted.clone(),
    };
    context.memory.set_written(uid, entry);
    let reference = access.object_ref(&());
    let before = |type_| previous.and_then(|status| status::find(status, type_));
    if let Some(now) = status::find(&wanted, condition::READY) {
        events::transition(&reference, context, before(condition::READY), now).await;
    }
    let models = status::find(&wanted, condition::MODELS_READY);
    if let Some(now) = models.filter(|models| models.reason != condition::REASON_READY) {
        events::transition(&reference, context, before(condition::MODELS_READY), now).await;
    }
    for type_ in [
        condition::TARGET_ROLES_READY,
        condition::TARGETS_HEALTHY,
        condition::ENCRYPTED,
        condition::ROUTED,
    ] {
        let found = status::find(&wanted, type_);
        if let Some(now) = found.filter(|one| one.status == "False") {
            events::transition(&reference, context, before(type_), now).await;
        }
    }
    Ok(wanted)
}

/// Applies a status. The UID ensures that a new object of the same name does not get it.
///
/// # Errors
/// When a request to the API server fails.
pub(super) async fn patch(
    context: &Context,
    namespace: &str,
    name: &str,
    uid: &str,
    status: Value,
) -> Result<(), Error> {
    let resource = kube::api::ApiResource::erase::<BedrockAccess>(&());
    let document = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": { "name": name, "uid": uid },
        "status": status,
    });
    context.metrics.wrote("BedrockAccess", "status");
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), namespace, &resource);
    let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
    match api
        .patch_status(name, &parameters, &Patch::Apply(&document))
        .await
    {
        Ok(_) => Ok(()),
        // Deleted in the meantime.
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        Err(error) => Err(Error::Status(error)),
    }
}
