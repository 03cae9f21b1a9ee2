//! Publishes the status of a `BedrockAccess`: writes it if it has changed, and publishes Events for transitions.

use std::hash::{DefaultHasher, Hash, Hasher};

use api::{
    names,
    v1alpha1::{
        BedrockAccess, condition,
        status::{BedrockAccessStatus, BudgetShares},
    },
};
use futures::{StreamExt, stream};
use k8s_openapi::jiff::Timestamp;
use kube::{
    Api, Resource, ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{
    Context, Error, events,
    observe::{self, Observed},
    status::{self, shares},
};

/// Concurrent grants of one object.
const CONCURRENT_GRANTS: usize = 8;

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
    let now = Timestamp::now();
    let mut wanted = status::compute(access, result, previous, now);
    // From a cache that lags behind, the ledger would miss what was granted.
    if lagging.is_none()
        && let Some((validated, observed)) = result.validated.zip(result.observed)
        && !validated.revoked
    {
        let terms = shares::terms(validated, now);
        let ledger = &wanted.budget_shares;
        wanted.budget_shares = shares::renew(ledger, &terms, &observed.pods, &observed.ending);
    }
    let known = previous.map(|previous| previous.budget_shares.as_slice());
    let is_ledger_unchanged = wanted.budget_shares == known.unwrap_or_default();
    let version = access.metadata.resource_version.as_deref();
    let version = version.filter(|_| !is_ledger_unchanged);
    if previous == Some(&wanted) {
        return Ok(wanted);
    }
    let namespace = access.namespace().unwrap_or_default();
    let object = (&*namespace, &*access.name_any());
    patch(context, object, (&uid, version), json!(wanted)).await?;
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

/// Applies a status. The UID ensures that a new object of the same name does not get it; a version, that the object has not
/// changed since it was read.
///
/// # Errors
/// When a request to the API server fails.
pub(super) async fn patch(
    context: &Context,
    (namespace, name): (&str, &str),
    (uid, version): (&str, Option<&str>),
    status: Value,
) -> Result<(), Error> {
    let resource = kube::api::ApiResource::erase::<BedrockAccess>(&());
    let metadata = match version {
        None => json!({ "name": name, "uid": uid }),
        Some(version) => json!({ "name": name, "uid": uid, "resourceVersion": version }),
    };
    let document = json!({
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": metadata,
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

/// Sends the gateways their shares of budgets, which the status contains by now.
pub(super) async fn send_shares(
    access: &BedrockAccess,
    context: &Context,
    observed: &Observed,
    ledger: &[BudgetShares],
) {
    if ledger.is_empty() {
        return;
    }
    let namespace = access.metadata.namespace.as_deref().unwrap_or_default();
    let pods = context.stores.pods.of(namespace, &access.name_any());
    let grants = pods.iter().filter_map(|pod| {
        let name = pod.metadata.name.as_deref()?;
        let state = observed.pods.iter().find(|state| state.name == name)?;
        let process = &state.report.as_ref()?.shares.as_ref()?.process;
        let grants = shares::grants(ledger, observed, process);
        let address = observe::address(pod)?;
        (!grants.accounts.is_empty()).then(|| context.readiness.grant(address, grants))
    });
    let grants: Vec<_> = grants.collect();
    stream::iter(grants)
        .for_each_concurrent(CONCURRENT_GRANTS, |grant| grant)
        .await;
}
