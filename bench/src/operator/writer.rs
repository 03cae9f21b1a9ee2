//! The writes of the operator by a client that does nothing else: the share of the API server in the total time.
//!
//! It reads the objects that the operator applied for one BedrockAccess, and applies them for others with the same
//! concurrency: six children, two statuses, two Events. It does not watch, compare or wait, so no operator can be
//! faster.

use anyhow::{Context, Result, bail, ensure};
use api::names;
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Service, ServiceAccount},
        events::v1::Event,
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    jiff::Timestamp,
};
use kube::{
    Api, Client, Resource,
    api::{ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Map, Value, json};

use super::{AT_ONCE, create_one, watched};

/// The objects that the operator applied for one BedrockAccess.
#[derive(Debug)]
pub(super) struct Writes {
    /// Name of the BedrockAccess, which is part of the names of its objects.
    access: String,
    children: Vec<(ApiResource, Value)>,
    status: Value,
}

impl Writes {
    /// Reads them.
    ///
    /// # Errors
    /// When an object cannot be read, or differs from the operator's format.
    pub(super) async fn of(client: &Client, namespace: &str, access: &str) -> Result<Self> {
        let mut children = Vec::new();
        for kind in kinds() {
            let label = format!("{}={access}", names::ACCESS_LABEL);
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
            let found = api.list(&ListParams::default().labels(&label)).await?;
            for child in found.items {
                children.push((kind.clone(), applied(&child, &kind)?));
            }
        }
        ensure!(children.len() == 6, "{} children, not six", children.len());
        let kind = watched::resource();
        let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        let found = api.get(access).await?;
        let status = found.data.get("status").cloned().unwrap_or_default();
        Ok(Self {
            access: access.to_owned(),
            children,
            status,
        })
    }

    /// Creates BedrockAccess objects with these namespaces and names, and writes this for each.
    ///
    /// # Errors
    /// When a write fails.
    pub(super) async fn repeat(&self, client: &Client, names: &[(String, String)]) -> Result<()> {
        stream::iter(names)
            .map(|(namespace, name)| self.one(client, namespace, name))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn one(&self, client: &Client, namespace: &str, name: &str) -> Result<()> {
        let kind = watched::resource();
        let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, &kind);
        let access = create_one(client, namespace, name).await?;
        let uid = access
            .metadata
            .uid
            .context("a BedrockAccess without a UID")?;
        let parameters = PatchParams::apply(names::FIELD_MANAGER).force();
        for (kind, template) in &self.children {
            let text = template.to_string().replace(&self.access, name);
            let mut child: Value = serde_json::from_str(&text)?;
            put(&mut child, "/metadata/ownerReferences/0/uid", json!(uid))?;
            let child_name = child.pointer("/metadata/name").and_then(Value::as_str);
            let child_name = child_name.unwrap_or_default();
            let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), namespace, kind);
            api.patch(child_name, &parameters, &Patch::Apply(&child))
                .await
                .with_context(|| format!("failed to apply {child_name}"))?;
        }
        for reason in ["RollingOut", "Ready"] {
            let mut status: Value =
                serde_json::from_str(&self.status.to_string().replace(&self.access, name))?;
            put(&mut status, "/conditions/0/reason", json!(reason))?;
            let document = json!({
                "apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, "uid": uid},
                "status": status,
            });
            objects
                .patch_status(name, &parameters, &Patch::Apply(&document))
                .await
                .with_context(|| format!("failed to write the status of {name}"))?;
            let event = serde_json::from_value(json!({
                "metadata": {"generateName": format!("{name}-")},
                "eventTime": Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.000000Z").to_string(),
                "reason": reason, "action": "Reconciling", "type": "Normal", "note": reason,
                "reportingController": names::FIELD_MANAGER, "reportingInstance": "bench",
                "regarding": {
                    "apiVersion": kind.api_version, "kind": kind.kind, "namespace": namespace, "name": name, "uid": uid,
                },
            }))?;
            Api::<Event>::namespaced(client.clone(), namespace)
                .create(&PostParams::default(), &event)
                .await
                .context("failed to write an Event")?;
        }
        Ok(())
    }
}

/// Kinds of children, in the order of their creation by the operator.
fn kinds() -> [ApiResource; 6] {
    fn of<K: Resource<DynamicType = ()>>() -> ApiResource {
        ApiResource::erase::<K>(&())
    }
    [
        of::<ServiceAccount>(),
        of::<ConfigMap>(),
        of::<NetworkPolicy>(),
        of::<Deployment>(),
        of::<Service>(),
        of::<PodDisruptionBudget>(),
    ]
}

/// The fields of an object that the operator applied.
fn applied(object: &DynamicObject, kind: &ApiResource) -> Result<Value> {
    let entries = object.metadata.managed_fields.iter().flatten();
    let fields = entries
        .filter(|entry| entry.manager.as_deref() == Some(names::FIELD_MANAGER))
        .find_map(|entry| entry.fields_v1.as_ref())
        .context("the operator applied no field of it")?;
    let Value::Object(mut applied) = owned(&serde_json::to_value(object)?, &fields.0) else {
        bail!("not an object");
    };
    applied.insert("apiVersion".to_owned(), json!(kind.api_version));
    applied.insert("kind".to_owned(), json!(kind.kind));
    let metadata = applied.get_mut("metadata").and_then(Value::as_object_mut);
    let metadata = metadata.context("no field of its metadata was applied")?;
    metadata.insert("name".to_owned(), json!(object.metadata.name));
    Ok(Value::Object(applied))
}

/// Replaces an object.
fn put(object: &mut Value, pointer: &str, value: Value) -> Result<()> {
    let place = object.pointer_mut(pointer);
    *place.with_context(|| format!("no {pointer}"))? = value;
    Ok(())
}

/// The part of a value that a set of fields names
/// (<https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/>, `fieldsV1`).
fn owned(value: &Value, fields: &Value) -> Value {
    let Some(fields) = fields.as_object().filter(|fields| !fields.is_empty()) else {
        return value.clone();
    };
    match value {
        Value::Object(members) => {
            let mut part = Map::new();
            for (field, inner) in fields {
                if let Some((name, member)) = field
                    .strip_prefix("f:")
                    .and_then(|name| members.get_key_value(name))
                {
                    part.insert(name.clone(), owned(member, inner));
                }
            }
            Value::Object(part)
        }
        Value::Array(items) => items
            .iter()
            .filter_map(|item| {
                fields.iter().find_map(|(field, inner)| {
                    if let Some(text) = field.strip_prefix("v:") {
                        let wanted: Value = serde_json::from_str(text).ok()?;
                        return (wanted == *item).then(|| item.clone());
                    }
                    let key: Map<String, Value> =
                        serde_json::from_str(field.strip_prefix("k:")?).ok()?;
                    let same = key
                        .iter()
                        .all(|(name, value)| item.get(name) == Some(value));
                    let Value::Object(mut part) = same.then(|| owned(item, inner))? else {
                        return None;
                    };
                    part.extend(key);
                    Some(Value::Object(part))
                })
            })
            .collect(),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_and_the_server_have_set_is_left_out() {
        let value = json!({
            "metadata": {"labels": {"ours": "1", "theirs": "2"}, "uid": "x", "finalizers": ["a", "b"]},
            "spec": {
                "clusterIP": "10.0.0.1",
                "selector": {"app": "y"},
                "ports": [
                    {"port": 80, "protocol": "TCP", "name": "http", "nodePort": 3},
                    {"port": 81, "protocol": "TCP"},
                ],
            },
        });
        let fields = json!({
            "f:metadata": {"f:labels": {"f:ours": {}}, "f:finalizers": {".": {}, "v:\"b\"": {}}},
            "f:spec": {
                "f:selector": {},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:name": {}}},
            },
        });
        let wanted = json!({
            "metadata": {"labels": {"ours": "1"}, "finalizers": ["b"]},
            "spec": {
                "selector": {"app": "y"},
                "ports": [{"port": 80, "protocol": "TCP", "name": "http"}],
            },
        });
        assert_eq!(owned(&value, &fields), wanted);
    }
}
