//! A pod under admission: the fields that the webhook reads or changes, and unknown fields unchanged.
//!
//! Not `k8s_openapi`'s type, since fields of a newer API server must be preserved. The patch is computed from two of
//! these values, list by list, so that nothing else can change.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A pod under admission.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Pod {
    #[serde(default)]
    pub(crate) metadata: Metadata,
    pub(crate) spec: Spec,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(crate) struct Metadata {
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Spec {
    pub(crate) init_containers: Option<Vec<Container>>,
    pub(crate) containers: Vec<Container>,
    pub(crate) volumes: Option<Vec<Value>>,
    pub(crate) image_pull_secrets: Option<Vec<Value>>,
    pub(crate) service_account_name: Option<String>,
    #[serde(default)]
    pub(crate) host_network: bool,
    #[serde(default)]
    pub(crate) share_process_namespace: bool,
    #[serde(default, rename = "hostPID")]
    pub(crate) host_pid: bool,
    pub(crate) security_context: Option<Value>,
    pub(crate) os: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Container {
    pub(crate) name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) env: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) volume_mounts: Option<Vec<Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ports: Option<Vec<Value>>,
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

/// One operation of a JSON patch, RFC 6902. `add` to an existing member replaces it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Operation {
    op: &'static str,
    path: String,
    value: Value,
}

impl Pod {
    /// Every container except ephemeral ones.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Container> {
        let init = self.spec.init_containers.iter().flatten();
        init.chain(&self.spec.containers)
    }

    /// See [`Pod::all`].
    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Container> {
        let init = self.spec.init_containers.iter_mut().flatten();
        init.chain(&mut self.spec.containers)
    }

    pub(crate) fn annotation(&self, name: &str) -> Option<&str> {
        let annotations = self.metadata.annotations.as_ref()?;
        annotations.get(name).map(String::as_str)
    }

    pub(crate) fn annotate(&mut self, name: &str, value: String) {
        let annotations = self.metadata.annotations.get_or_insert_default();
        annotations.insert(name.to_owned(), value);
    }
}

impl Container {
    /// A variable by name.
    pub(crate) fn variable(&self, name: &str) -> Option<&Value> {
        self.env
            .iter()
            .flatten()
            .find(|entry| is_named(entry, name))
    }

    /// The literal value of a variable; `None` if it is set by reference.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.variable(name)?.get("value")?.as_str()
    }
}

/// Whether an entry of a list has this name.
pub(crate) fn is_named(entry: &Value, name: &str) -> bool {
    entry.get("name").and_then(Value::as_str) == Some(name)
}

/// The operations that turn `before` into `after`; empty if they are equal.
pub(crate) fn patch(before: &Pod, after: &Pod) -> Vec<Operation> {
    let mut patch = Vec::new();
    let mut add = |path: String, value: Value| {
        patch.push(Operation {
            op: "add",
            path,
            value,
        });
    };
    match (&before.metadata.annotations, &after.metadata.annotations) {
        (None, Some(annotations)) => add("/metadata/annotations".to_owned(), json!(annotations)),
        (Some(before), Some(after)) => {
            for (name, value) in after {
                if before.get(name) != Some(value) {
                    add(
                        format!("/metadata/annotations/{}", escaped(name)),
                        json!(value),
                    );
                }
            }
        }
        (_, None) => {}
    }
    let lists = |spec: &Spec| {
        [
            ("volumes", json!(spec.volumes)),
            ("imagePullSecrets", json!(spec.image_pull_secrets)),
            ("initContainers", json!(spec.init_containers)),
        ]
    };
    for ((name, after), (_, before)) in lists(&after.spec).into_iter().zip(lists(&before.spec)) {
        if before != after {
            add(format!("/spec/{name}"), after);
        }
    }
    let pairs = before.spec.containers.iter().zip(&after.spec.containers);
    for (index, (before, after)) in pairs.enumerate() {
        if before.env != after.env {
            add(format!("/spec/containers/{index}/env"), json!(after.env));
        }
        if before.volume_mounts != after.volume_mounts {
            add(
                format!("/spec/containers/{index}/volumeMounts"),
                json!(after.volume_mounts),
            );
        }
    }
    patch
}

/// A member's name in a JSON pointer, RFC 6901.
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}
