//! What a namespace holds, as a text that is the same for the same state: every access and every child,
//! without what the API server and other controllers set, and without what makes one namespace another.

use std::{collections::BTreeMap, fmt::Write as _};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams},
};
use serde_json::{Map, Value, json};

/// Every kind an operator makes.
pub(crate) const CHILDREN: [(&str, &str, &str, &str); 11] = [
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "ConfigMap", "configmaps"),
    (
        "networking.k8s.io",
        "v1",
        "NetworkPolicy",
        "networkpolicies",
    ),
    ("cert-manager.io", "v1", "Certificate", "certificates"),
    ("apps", "v1", "Deployment", "deployments"),
    ("", "v1", "Service", "services"),
    (
        "policy",
        "v1",
        "PodDisruptionBudget",
        "poddisruptionbudgets",
    ),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
    ),
    ("monitoring.coreos.com", "v1", "PodMonitor", "podmonitors"),
    (
        "gateway.networking.k8s.io",
        "v1",
        "BackendTLSPolicy",
        "backendtlspolicies",
    ),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
];
/// What every namespace has, and what tests put there themselves.
const NOT_OURS: [&str; 3] = ["default", "kube-root-ca.crt", STRANGER];
/// Name of an object that owns what was taken over.
pub(crate) const STRANGER: &str = "stranger";
/// Managers of fields that count.
const MANAGER: &str = "bedrock-access-operator";

/// The API of a kind in a namespace.
pub(crate) fn api(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let (group, version, kind, plural) = CHILDREN
        .into_iter()
        .chain([(
            "bedrockaccess.dev",
            "v1alpha1",
            "BedrockAccess",
            "bedrockaccesses",
        )])
        .find(|(_, _, name, plural)| *name == kind || *plural == kind)
        .unwrap_or_else(|| panic!("{kind} is no kind of these tests"));
    let kind = GroupVersionKind::gvk(group, version, kind);
    let resource = ApiResource::from_gvk_with_plural(&kind, plural);
    Api::namespaced_with(client.clone(), namespace, &resource)
}

/// The state of a namespace.
pub(crate) async fn state(client: &Client, namespace: &str) -> String {
    let mut objects = BTreeMap::new();
    let mut uids = Vec::new();
    let kinds = CHILDREN.into_iter().map(|(_, _, kind, _)| kind);
    for kind in ["BedrockAccess"].into_iter().chain(kinds) {
        let list = api(client, namespace, kind)
            .list(&ListParams::default())
            .await;
        for object in list.unwrap().items {
            let name = object.metadata.name.clone().unwrap();
            if NOT_OURS.contains(&name.as_str()) {
                continue;
            }
            if kind == "BedrockAccess" {
                uids.extend(object.metadata.uid.clone());
            }
            let value = serde_json::to_value(&object).unwrap();
            objects.insert(format!("{kind} {name}"), cleaned(kind, value));
        }
    }
    let text = serde_json::to_string_pretty(&sorted(json!(objects))).unwrap();
    let text = text.replace(namespace, "NAMESPACE");
    uids.iter()
        .fold(text, |text, uid| text.replace(uid.as_str(), "UID"))
}

fn cleaned(kind: &str, mut object: Value) -> Value {
    let is_access = kind == "BedrockAccess";
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["uid", "resourceVersion", "creationTimestamp"] {
        metadata.remove(field);
    }
    let managers = metadata.remove("managedFields").unwrap_or_default();
    if !is_access {
        metadata.remove("generation");
        metadata.insert("managedFields".to_owned(), ours(&managers));
    }
    if let Some(annotations) = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove("deployment.kubernetes.io/revision");
    }
    if is_access {
        for condition in object["status"]["conditions"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            condition
                .as_object_mut()
                .unwrap()
                .remove("lastTransitionTime");
        }
        return object;
    }
    object.as_object_mut().unwrap().remove("status");
    if kind == "Service" {
        let spec = object["spec"].as_object_mut().unwrap();
        for field in ["clusterIP", "clusterIPs"] {
            spec.remove(field);
        }
    }
    object
}

/// Which fields the operator owns, and how.
fn ours(managers: &Value) -> Value {
    let mut entries: Vec<Value> = managers
        .as_array()
        .into_iter()
        .flatten()
        .filter(|entry| {
            entry["manager"]
                .as_str()
                .is_some_and(|manager| manager.starts_with(MANAGER))
        })
        .map(|entry| {
            json!({
                "manager": entry["manager"],
                "operation": entry["operation"],
                "fields": entry["fieldsV1"],
            })
        })
        .collect();
    entries.sort_by_key(ToString::to_string);
    Value::Array(entries)
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> = fields.into_iter().collect();
            let fields = fields
                .into_iter()
                .map(|(name, value)| (name, sorted(value)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// The lines in which two texts differ, each under the object it belongs to.
pub(crate) fn difference(wanted: &str, found: &str) -> String {
    let (wanted, found) = (sections(wanted), sections(found));
    let mut text = String::new();
    for name in wanted
        .keys()
        .chain(found.keys().filter(|name| !wanted.contains_key(*name)))
    {
        let none = Vec::new();
        let one = wanted.get(name).unwrap_or(&none);
        let other = found.get(name).unwrap_or(&none);
        if one == other {
            continue;
        }
        writeln!(text, "  {name}").unwrap();
        for (sign, line) in edits(one, other) {
            writeln!(text, "  {sign} {line}").unwrap();
        }
    }
    text
}

/// Lines by object: those of an object are indented deeper than its name.
fn sections(text: &str) -> BTreeMap<&str, Vec<&str>> {
    let mut sections = BTreeMap::new();
    let mut name = "";
    for line in text.lines() {
        if line.starts_with("  \"") {
            name = line.trim();
        }
        sections.entry(name).or_insert_with(Vec::new).push(line);
    }
    sections
}

/// Lines of one that the other lacks and the other way about, by the longest common subsequence.
fn edits<'a>(one: &[&'a str], other: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut longest = vec![vec![0_usize; other.len() + 1]; one.len() + 1];
    for i in (0..one.len()).rev() {
        for j in (0..other.len()).rev() {
            longest[i][j] = if one[i] == other[j] {
                longest[i + 1][j + 1] + 1
            } else {
                longest[i + 1][j].max(longest[i][j + 1])
            };
        }
    }
    let (mut i, mut j, mut edits) = (0, 0, Vec::new());
    while i < one.len() || j < other.len() {
        if i < one.len() && j < other.len() && one[i] == other[j] {
            (i, j) = (i + 1, j + 1);
        } else if i < one.len() && (j == other.len() || longest[i + 1][j] >= longest[i][j + 1]) {
            edits.push(('-', one[i]));
            i += 1;
        } else {
            edits.push(('+', other[j]));
            j += 1;
        }
    }
    edits
}

#[test]
fn difference_names_the_object_and_the_lines() {
    let one = "{\n  \"A x\": {\n    \"a\": 1\n  },\n  \"B y\": {\n    \"b\": 2\n  }\n}";
    let other = one.replace("\"b\": 2", "\"b\": 3");
    assert_eq!(
        difference(one, &other),
        "  \"B y\": {\n  -     \"b\": 2\n  +     \"b\": 3\n"
    );
    assert_eq!(difference(one, one), "");
}
