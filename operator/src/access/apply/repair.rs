//! Puts right what server-side apply cannot.
//!
//! Apply merges lists by the keys of their elements and never takes away an element that somebody else
//! put there. A port of a Service that was given another number by hand is such an element: ours is
//! missing, applying it makes a second one of the same name, and that the API server refuses. So the
//! lists are replaced as a whole by a merge patch first. A patch makes its manager a second owner of what
//! it writes, which would keep fields alive that we no longer apply; that ownership is given up in the end
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields>). An
//! operator that dies in between leaves its mark in the managed fields, and the next one goes on.

use kube::{
    ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{Applier, ApplyError};
use crate::access::build::Prepared;

/// Field manager of such a patch.
const REPAIR_MANAGER: &str = "bedrock-access-operator-repair";

/// Gives an object, found as this, the lists of our document as they stand there.
///
/// # Errors
/// `refused`, when it is not the lists that the API server minds.
pub(super) async fn replace_lists(
    applier: &Applier<'_>,
    prepared: &Prepared,
    found: &DynamicObject,
    refused: ApplyError,
) -> Result<(), ApplyError> {
    let Prepared { kind, name, object } = prepared;
    let Some(spec) = object.get("spec") else {
        return Err(refused);
    };
    let document = json!({
        "metadata": {"resourceVersion": found.metadata.resource_version},
        "spec": spec,
    });
    let parameters = PatchParams {
        field_manager: Some(REPAIR_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(&document);
    match applier
        .patch(*kind, name, "patch", &parameters, &patch)
        .await
    {
        Ok(_) => Ok(()),
        Err(ApplyError::Refused { .. }) => Err(refused),
        Err(error) => Err(error),
    }
}

/// Whether an object still shows an owner that only [`replace_lists`] needs.
pub(super) fn is_unfinished(found: &DynamicObject) -> bool {
    found
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(REPAIR_MANAGER))
}

/// Gives up what [`replace_lists`] came to own; nothing is written where it owns nothing.
///
/// # Errors
/// When the API server does not take it, or the object has changed meanwhile.
pub(super) async fn disown(
    applier: &Applier<'_>,
    prepared: &Prepared,
    object: DynamicObject,
) -> Result<DynamicObject, ApplyError> {
    if !is_unfinished(&object) {
        return Ok(object);
    }
    let mut others = object.managed_fields().to_vec();
    others.retain(|entry| entry.manager.as_deref() != Some(REPAIR_MANAGER));
    let document = json!({"metadata": {
        "resourceVersion": object.metadata.resource_version,
        "managedFields": others,
    }});
    let Prepared { kind, name, .. } = prepared;
    let patch = Patch::Merge(&document);
    applier
        .patch(*kind, name, "patch", &PatchParams::default(), &patch)
        .await
}
