//! The CRDs: present, established, and with the fields of this release.

use std::collections::BTreeSet;

use api::{names, v1alpha1};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use serde_json::Value;

use super::report::{Line, Section};
use crate::cluster::{Cluster, api_error, is_missing};

/// Most fields in a message.
const SHOWN: usize = 5;
const FIX: &str = "install the CRDs of this release: `helm upgrade` with crds.enabled, or `kubectl apply --server-side --filename crds/`";

pub(super) async fn check(cluster: &Cluster) -> Section {
    let mut section = Section::new("definitions");
    let api = Api::<CustomResourceDefinition>::all(cluster.client.clone());
    for wanted in v1alpha1::crds() {
        let name = wanted.name_any();
        section.add(match api.get(&name).await {
            Ok(found) => compare(&name, &wanted, &found),
            Err(error) if is_missing(&error) => Line::error(format!("{name} does not exist"), FIX),
            Err(error) => Line::warning(
                format!("{name}: not checked: {}", api_error(&error)),
                "use a user who can read CustomResourceDefinitions",
            ),
        });
    }
    section
}

/// Compares a definition of the cluster with that of this release.
pub(super) fn compare(
    name: &str,
    wanted: &CustomResourceDefinition,
    found: &CustomResourceDefinition,
) -> Line {
    let conditions = found
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let established = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Established" && condition.status == "True");
    if !established {
        return Line::error(
            format!("{name} is not established"),
            format!("see the conditions of `kubectl get crd {name} -o yaml`"),
        );
    }
    let (Some(ours), Some(theirs)) = (fields(wanted), fields(found)) else {
        return Line::error(format!("{name} does not serve {}", names::VERSION), FIX);
    };
    let missing: Vec<&String> = ours.difference(&theirs).collect();
    if missing.is_empty() {
        let more = theirs.difference(&ours).count();
        return if more == 0 {
            Line::ok(format!("{name} serves {}", names::VERSION))
        } else {
            Line::warning(
                format!("{name} has {more} fields that this program does not know"),
                "install the kubectl plugin of the same release",
            )
        };
    }
    let shown: Vec<&str> = missing
        .iter()
        .take(SHOWN)
        .map(|path| path.as_str())
        .collect();
    let more = if missing.len() > SHOWN { ", …" } else { "" };
    Line::error(
        format!(
            "{name} is of another release: it lacks {} fields: {}{more}",
            missing.len(),
            shown.join(", ")
        ),
        FIX,
    )
}

/// The paths of all fields of the version; `None` if it is not served.
fn fields(definition: &CustomResourceDefinition) -> Option<BTreeSet<String>> {
    let mut versions = definition.spec.versions.iter();
    let version = versions.find(|version| version.name == names::VERSION && version.served)?;
    let schema = version.schema.as_ref()?.open_api_v3_schema.as_ref()?;
    let schema = serde_json::to_value(schema).ok()?;
    let mut paths = BTreeSet::new();
    collect(&schema, "", &mut paths);
    Some(paths)
}

fn collect(schema: &Value, path: &str, paths: &mut BTreeSet<String>) {
    if let Some(Value::Object(properties)) = schema.get("properties") {
        for (name, schema) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            collect(schema, &path, paths);
            paths.insert(path);
        }
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = schema.get(inner) {
            collect(schema, path, paths);
        }
    }
}
