//! Repairs drift that server-side apply cannot repair.
//!
//! Apply merges lists by the keys of their elements and never removes an element of another owner. For example, if a
//! user changes the number of a Service port, our port is missing; applying it creates a second port of the same name,
//! which the API server rejects. So a merge patch first replaces the lists as a whole. The patch makes its field
//! manager a second owner of the written fields, which would keep fields that we no longer apply. That ownership is
//! therefore cleared at the end
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#clearing-managedfields>). If the operator stops
//! in between, its entry stays in the managed fields, and the next reconcile continues from there.

use kube::{
    ResourceExt,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::json;

use super::{Applier, ApplyError};
use crate::access::build::Prepared;

/// Field manager of the merge patch.
const REPAIR_MANAGER: &str = "bedrock-access-operator-repair";

/// Replaces the lists of `found` with those of our document.
///
/// # Errors
/// `refused`, when the API server rejects the object for another reason than its lists.
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

/// Whether the managed fields of an object still contain the field manager of [`replace_lists`].
pub(super) fn is_unfinished(found: &DynamicObject) -> bool {
    found
        .managed_fields()
        .iter()
        .any(|entry| entry.manager.as_deref() == Some(REPAIR_MANAGER))
}

/// Clears the ownership that [`replace_lists`] created; writes nothing if it owns nothing.
///
/// # Errors
/// When the API server rejects the patch, or the object has changed in the meantime.
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
