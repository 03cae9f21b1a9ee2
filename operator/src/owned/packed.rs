//! An owned object in its cached form: the document as bytes.
//!
//! A parsed document needs several times the memory of its text, and most objects are read once in ten minutes. Only
//! the metadata that identifies an object and its owner stays parsed.

use std::{borrow::Cow, sync::Arc};

use kube::{
    Resource,
    api::{ApiResource, DynamicObject, ObjectMeta},
};

/// An object that a `BedrockAccess` owns.
#[derive(Clone, Debug)]
pub(crate) struct OwnedObject {
    /// Only name, version, labels and owners.
    metadata: ObjectMeta,
    /// The whole document, as JSON.
    document: Arc<[u8]>,
}

impl OwnedObject {
    /// Packs an object.
    pub(crate) fn pack(object: &DynamicObject) -> Self {
        let all = &object.metadata;
        let metadata = ObjectMeta {
            name: all.name.clone(),
            namespace: all.namespace.clone(),
            uid: all.uid.clone(),
            resource_version: all.resource_version.clone(),
            labels: all.labels.clone(),
            owner_references: all.owner_references.clone(),
            deletion_timestamp: all.deletion_timestamp.clone(),
            ..ObjectMeta::default()
        };
        // The object was parsed from JSON, so it can be serialized as JSON.
        let document = serde_json::to_vec(object).unwrap_or_default();
        Self {
            metadata,
            document: document.into(),
        }
    }

    /// The metadata alone, in the form that a controller needs to find the owner.
    pub(crate) fn outline(self) -> DynamicObject {
        DynamicObject {
            types: None,
            metadata: self.metadata,
            data: serde_json::Value::Null,
        }
    }

    /// The complete object.
    ///
    /// # Errors
    /// When the document does not parse, which would be a bug in the operator.
    pub(crate) fn unpack(&self) -> kube::Result<DynamicObject> {
        serde_json::from_slice(&self.document).map_err(kube::Error::SerdeError)
    }
}

impl Resource for OwnedObject {
    type DynamicType = ApiResource;
    type Scope = <DynamicObject as Resource>::Scope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(resource)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    #[test]
    fn unpacked_object_equals_the_original_and_metadata_needs_no_unpacking() {
        let document = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7", "labels": {"x": "y"},
                "annotations": {"k": "v"}, "deletionTimestamp": "2026-01-01T00:00:00Z",
                "ownerReferences": [{"apiVersion": "v1", "kind": "K", "name": "n", "uid": "o"}],
                "managedFields": [{"manager": "m", "operation": "Apply", "fieldsV1": {"f:data": {"f:z": {}, "f:a": {}}}}],
            },
            "data": {"z": "1", "a": "2"},
        });
        let object: DynamicObject = serde_json::from_value(document.clone()).unwrap();
        let owned = OwnedObject::pack(&object);
        let unpacked = serde_json::to_value(owned.unpack().unwrap()).unwrap();
        assert_eq!(unpacked, document);
        let keys: Vec<&str> = unpacked["data"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, ["z", "a"]);
        assert_eq!(owned.labels()["x"], "y");
        assert_eq!(owned.owner_references()[0].uid, "o");
        assert_eq!(owned.resource_version().as_deref(), Some("7"));
        assert!(owned.metadata.deletion_timestamp.is_some());
        assert_eq!(owned.metadata.managed_fields, None);
    }
}
