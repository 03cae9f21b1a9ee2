//! A child as it is kept: its document as bytes.
//!
//! A document taken apart needs several times the memory of its text, and most children are looked at once in ten
//! minutes. What finds a child and says whose it is stays readable.

use std::{borrow::Cow, sync::Arc};

use kube::{
    Resource,
    api::{ApiResource, DynamicObject, ObjectMeta},
};

/// One child of an access.
#[derive(Clone, Debug)]
pub(crate) struct Child {
    /// Name, version, labels and owners; nothing else.
    metadata: ObjectMeta,
    /// The whole document, as JSON.
    document: Arc<[u8]>,
}

impl Child {
    /// Keeps an object.
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
        // What came as JSON can be written as JSON.
        let document = serde_json::to_vec(object).unwrap_or_default();
        Self {
            metadata,
            document: document.into(),
        }
    }

    /// What tells whose it is, in the shape that a controller takes.
    pub(crate) fn outline(self) -> DynamicObject {
        DynamicObject {
            types: None,
            metadata: self.metadata,
            data: serde_json::Value::Null,
        }
    }

    /// The object as it was.
    ///
    /// # Errors
    /// When what was kept cannot be read, which would be a mistake of ours.
    pub(crate) fn open(&self) -> kube::Result<DynamicObject> {
        serde_json::from_slice(&self.document).map_err(kube::Error::SerdeError)
    }
}

impl Resource for Child {
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
    fn object_comes_back_as_it_was_and_is_found_without_opening_it() {
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
        let child = Child::pack(&object);
        let opened = serde_json::to_value(child.open().unwrap()).unwrap();
        assert_eq!(opened, document);
        let keys: Vec<&str> = opened["data"]
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(keys, ["z", "a"]);
        assert_eq!(child.labels()["x"], "y");
        assert_eq!(child.owner_references()[0].uid, "o");
        assert_eq!(child.resource_version().as_deref(), Some("7"));
        assert!(child.metadata.deletion_timestamp.is_some());
        assert_eq!(child.metadata.managed_fields, None);
    }
}
