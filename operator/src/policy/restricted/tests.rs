use std::collections::BTreeSet;

use api::v1alpha1::{BedrockAccess, crds};
use serde_json::{Map, Value, json};

use super::*;
use crate::fixtures;

/// Objects that contain every field with a bound.
const FULL: &str = include_str!("../../../../tests/it/api_tier/refusals/full.yaml");

/// Class of a field.
enum Class {
    /// The field gives its author nothing but a Bedrock endpoint, or an older rule of policies covers it.
    Free,
    /// This value of the field is restricted by this rule, and requires this permission.
    Restricted(Rule, &'static str, Value),
}

use Class::{Free, Restricted as Needs};

/// Every field of the spec. A path that ends in `*` covers a type of Kubernetes; `[]` is an item of a list.
#[expect(clippy::too_many_lines, reason = "a table")]
fn classes() -> Vec<(&'static str, Class)> {
    let workloads = "create deployments or pods";
    let secret = "get secrets/x, or create deployments or pods";
    let accounts = "create serviceaccounts";
    let services = "create services";
    let routes = "create httproutes.gateway.networking.k8s.io";
    let needs = |rule, permission, value| Needs(rule, permission, value);
    let label = || json!({"app": "payments"});
    let affinity = || {
        json!({"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": "zone", "labelSelector": {}, "namespaceSelector": {}},
        ]})
    };
    let url = || json!("https://attacker.example");
    vec![
        ("suspend", Free),
        ("commonLabels", needs(Rule::Metadata, workloads, label())),
        ("region", Free),
        (
            "endpoints.bedrock",
            needs(Rule::Endpoints, workloads, url()),
        ),
        (
            "endpoints.bedrockMantle",
            needs(Rule::Endpoints, workloads, url()),
        ),
        (
            "endpoints.bedrockRuntime",
            needs(Rule::Endpoints, workloads, url()),
        ),
        ("endpoints.sts", needs(Rule::Endpoints, workloads, url())),
        // A kind of identity is a field of its own: an empty object.
        (
            "identity.ambient",
            needs(Rule::Identities, workloads, json!({})),
        ),
        ("identity.podIdentity", Free),
        (
            "identity.irsa.audience",
            needs(
                Rule::Audiences,
                workloads,
                json!("https://kubernetes.default.svc"),
            ),
        ),
        ("identity.irsa.roleArn", Free),
        ("identity.irsa.sessionName", Free),
        ("identity.irsa.tokenExpirationSeconds", Free),
        (
            "identity.secret.name",
            needs(Rule::Secrets, secret, json!("x")),
        ),
        ("identity.assumeRoles[].durationSeconds", Free),
        ("identity.assumeRoles[].externalId", Free),
        ("identity.assumeRoles[].roleArn", Free),
        ("identity.assumeRoles[].sessionName", Free),
        // Allows only what names an existing ServiceAccount, which `name` does.
        ("serviceAccount.create", Free),
        (
            "serviceAccount.name",
            needs(Rule::ServiceAccounts, accounts, json!("x")),
        ),
        (
            "serviceAccount.annotations",
            needs(Rule::Metadata, accounts, label()),
        ),
        (
            "serviceAccount.labels",
            needs(Rule::Metadata, accounts, label()),
        ),
        ("models[].name", Free),
        ("models[].modelId", Free),
        ("models[].targets[].api", Free),
        ("models[].targets[].assumeRole.durationSeconds", Free),
        ("models[].targets[].assumeRole.externalId", Free),
        ("models[].targets[].assumeRole.roleArn", Free),
        ("models[].targets[].assumeRole.sessionName", Free),
        ("models[].targets[].baseModel", Free),
        ("models[].targets[].modelId", Free),
        ("models[].targets[].priority", Free),
        ("models[].targets[].project", Free),
        ("models[].targets[].region", Free),
        ("models[].targets[].weight", Free),
        ("allow[]", Free),
        // Bedrock reads them with the role, which rules of policies cover.
        ("s3Sources[]", Free),
        ("guardrail.identifier", Free),
        ("guardrail.version", Free),
        ("clients.anonymous", Free),
        ("clients.apiKeys.limits.*", Free),
        (
            "clients.apiKeys.secretName",
            needs(Rule::Secrets, secret, json!("x")),
        ),
        ("clients.serviceAccounts[].limits.*", Free),
        ("clients.serviceAccounts[].models[]", Free),
        ("clients.serviceAccounts[].name", Free),
        ("clients.serviceAccounts[].namespace", Free),
        ("limits.budgets[].*", Free),
        ("limits.maxBodyBytes", Free),
        ("limits.maxInFlight", Free),
        ("limits.firstTokenSeconds", Free),
        ("limits.streamIdleSeconds", Free),
        ("limits.totalSeconds", Free),
        ("limits.concurrentRequests", Free),
        ("limits.requestsPerMinute", Free),
        ("limits.tokensPerDay", Free),
        ("limits.tokensPerMinute", Free),
        (
            "limits.store.redis.url",
            needs(
                Rule::Endpoints,
                workloads,
                json!("redis://attacker.example"),
            ),
        ),
        (
            "limits.store.redis.secretName",
            needs(Rule::Secrets, secret, json!("x")),
        ),
        ("routing.*", Free),
        ("attribution.*", Free),
        ("audit.*", Free),
        ("prices.*", Free),
        ("gateway.enabled", Free),
        ("gateway.replicas", Free),
        ("gateway.autoscaling.*", Free),
        ("gateway.resources.*", Free),
        (
            "gateway.image",
            needs(Rule::Images, workloads, json!("attacker.example/image:1")),
        ),
        ("gateway.imagePullPolicy", Free),
        (
            "gateway.imagePullSecrets[].name",
            needs(Rule::Secrets, secret, json!("x")),
        ),
        ("gateway.logLevel", Free),
        ("gateway.nodeSelector", Free),
        (
            "gateway.tolerations[].*",
            needs(Rule::Tolerations, workloads, json!({"operator": "Exists"})),
        ),
        ("gateway.affinity.nodeAffinity.*", Free),
        (
            "gateway.affinity.podAffinity.*",
            needs(Rule::TopologyKeys, workloads, affinity()),
        ),
        (
            "gateway.affinity.podAntiAffinity.*",
            needs(Rule::TopologyKeys, workloads, affinity()),
        ),
        ("gateway.topologySpreadConstraints[].*", Free),
        (
            "gateway.priorityClassName",
            needs(
                Rule::PriorityClassNames,
                workloads,
                json!("system-cluster-critical"),
            ),
        ),
        (
            "gateway.podLabels",
            needs(Rule::Metadata, workloads, label()),
        ),
        (
            "gateway.podAnnotations",
            needs(Rule::Metadata, workloads, label()),
        ),
        (
            "gateway.service.labels",
            needs(Rule::Metadata, services, label()),
        ),
        (
            "gateway.service.annotations",
            needs(Rule::Metadata, services, label()),
        ),
        ("gateway.networkPolicy.enabled", Free),
        ("gateway.networkPolicy.from[].*", Free),
        ("gateway.podMonitor.interval", Free),
        (
            "gateway.tls.secretName",
            needs(Rule::Secrets, secret, json!("x")),
        ),
        (
            "gateway.tls.issuerRef.*",
            needs(
                Rule::Issuers,
                "create certificates.cert-manager.io",
                json!({"name": "internal"}),
            ),
        ),
        // Names a public CA, with which Gateways verify the author's own Service.
        ("gateway.tls.caConfigMapName", Free),
        (
            "gateway.httpRoute.parentRefs[].*",
            needs(Rule::Gateways, routes, json!({"name": "shared"})),
        ),
        (
            "gateway.httpRoute.hostnames[]",
            needs(Rule::Hostnames, routes, json!("payments.example")),
        ),
        ("gateway.httpRoute.timeouts.*", Free),
        ("gateway.podMonitor.labels", Free),
        ("sidecar.adminPort", Free),
        ("sidecar.port", Free),
        ("sidecar.resources.*", Free),
        // Pods choose the sidecar by their label; the list only permits it.
        ("sidecar.serviceAccounts[].name", Free),
        ("sidecar.socket", Free),
    ]
}

/// The paths of all fields without fields of their own.
fn leaves(schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if let Some(items) = schema.get("items") {
        leaves(items, &format!("{path}[]"), found);
    } else if let Some(properties) = properties.filter(|properties| !properties.is_empty()) {
        for (name, property) in properties {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            leaves(property, &path, found);
        }
    } else {
        found.insert(path.to_owned());
    }
}

fn covers(path: &str, leaf: &str) -> bool {
    match path.strip_suffix(".*") {
        Some(prefix) => leaf
            .strip_prefix(prefix)
            .is_some_and(|rest| rest.starts_with('.')),
        None => path == leaf,
    }
}

/// Sets a value in a spec; a list gets one item.
fn set(spec: &mut Value, path: &str, value: Value) {
    let Some((name, rest)) = path.split_once('.') else {
        match path.strip_suffix("[]") {
            Some(list) => spec[list] = json!([value]),
            None => spec[path] = value,
        }
        return;
    };
    let (name, list) = name
        .strip_suffix("[]")
        .map_or((name, false), |name| (name, true));
    let child = &mut spec[name];
    if list {
        *child = json!([{}]);
    }
    let child = if list { &mut child[0] } else { child };
    if rest == "*" {
        *child = value;
        return;
    }
    if !child.is_object() {
        *child = Value::Object(Map::new());
    }
    set(child, rest, value);
}

fn remove(spec: &mut Value, path: &str) {
    let path = path.trim_end_matches(".*");
    let path = path.split("[]").next().unwrap();
    let pointer = format!("/{}", path.replace('.', "/"));
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    if let Some(Value::Object(parent)) = spec.pointer_mut(parent) {
        parent.remove(name);
    }
}

fn access(spec: &Value) -> BedrockAccess {
    let mut object = serde_json::to_value(fixtures::access("")).unwrap();
    object["spec"] = spec.clone();
    serde_json::from_value(object).unwrap()
}

#[test]
fn every_field_of_the_spec_has_a_class() {
    let crd = serde_json::to_value(&crds()[0]).unwrap();
    let schema = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec");
    let mut found = BTreeSet::new();
    leaves(schema.unwrap(), "", &mut found);
    assert!(found.len() > 80, "{found:?}");
    let classes = classes();
    let unknown: Vec<_> = found
        .iter()
        .filter(|leaf| !classes.iter().any(|(path, _)| covers(path, leaf)))
        .collect();
    assert!(
        unknown.is_empty(),
        "decide whether these fields give their author more than permission to edit a BedrockAccess: {unknown:?}"
    );
    for (path, _) in &classes {
        assert!(
            found.iter().any(|leaf| covers(path, leaf)),
            "no field is {path}"
        );
    }
}

#[test]
fn every_restricted_field_has_its_rule_and_its_permission() {
    for (path, class) in classes() {
        let Needs(rule, permission, value) = class else {
            continue;
        };
        let mut spec = serde_json::to_value(fixtures::access("").spec).unwrap();
        if path.starts_with("identity.") && !path.starts_with("identity.irsa") {
            spec["identity"] = json!({});
        }
        set(&mut spec, path, value.clone());
        if path == "limits.store.redis.secretName" {
            set(
                &mut spec,
                "limits.store.redis.url",
                json!("redis://a.example"),
            );
        }
        if path == "gateway.httpRoute.hostnames[]" {
            set(&mut spec, "gateway.httpRoute.parentRefs[].name", json!("x"));
        }
        let values = restricted(&access(&spec).spec);
        let field = format!(
            "spec.{}",
            path.trim_end_matches(".*")
                .trim_end_matches("[].name")
                .trim_end_matches("[]")
        );
        let found = values
            .iter()
            .find(|value| field.starts_with(&value.field) && value.rule == rule);
        let found = found.unwrap_or_else(|| panic!("{path}: {values:?}"));
        assert_eq!(found.permission.to_string(), permission, "{path}");
    }
}

#[test]
fn free_fields_alone_are_not_restricted() {
    let objects: Vec<Value> = serde_yaml::from_str(FULL).unwrap();
    for object in objects {
        let mut spec = object.clone();
        for (path, class) in classes() {
            if let Needs(..) = class {
                remove(&mut spec, path);
            }
        }
        // Without its only field the parent is not valid.
        remove(&mut spec, "identity.secret");
        remove(&mut spec, "clients.apiKeys");
        remove(&mut spec, "limits.store");
        remove(&mut spec, "gateway.httpRoute");
        assert_eq!(restricted(&access(&spec).spec), [], "{spec}");
        assert_ne!(spec, object);
    }
}

#[test]
fn existing_service_account_requires_permission_to_create_workloads() {
    let spec = fixtures::access("serviceAccount: {create: false, name: payments}").spec;
    let values = restricted(&spec);
    assert_eq!(values.len(), 1, "{values:?}");
    assert_eq!(values[0].permission, Permission::Workloads);
    assert_eq!(values[0].to_string(), "spec.serviceAccount.name: payments");
}

#[test]
fn values_that_every_access_may_have_are_not_restricted() {
    for more in [
        "",
        "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole', audience: sts.amazonaws.com}}",
        "endpoints: {sts: 'https://sts.us-east-1.amazonaws.com', bedrockRuntime: 'https://vpce-1a-2b.bedrock-runtime.us-east-1.vpce.amazonaws.com'}",
        "gateway: {tolerations: [{key: node.kubernetes.io/not-ready, operator: Exists, effect: NoExecute, tolerationSeconds: 5}]}",
        "gateway: {affinity: {nodeAffinity: {}}}",
    ] {
        assert_eq!(restricted(&fixtures::access(more).spec), [], "{more}");
    }
}

#[test]
fn toleration_is_written_as_the_taints_that_it_matches() {
    for (toleration, text) in [
        (json!({"operator": "Exists"}), "*"),
        (
            json!({"operator": "Exists", "effect": "NoSchedule"}),
            "*:NoSchedule",
        ),
        (
            json!({"key": "dedicated", "operator": "Exists"}),
            "dedicated=*",
        ),
        (
            json!({"key": "dedicated", "value": "gpu", "effect": "NoSchedule"}),
            "dedicated=gpu:NoSchedule",
        ),
        (
            json!({"key": "dedicated", "operator": "Equal", "value": "gpu"}),
            "dedicated=gpu",
        ),
        (
            json!({"key": "dedicated", "effect": "NoExecute"}),
            "dedicated:NoExecute",
        ),
    ] {
        assert_eq!(taint(&serde_json::from_value(toleration).unwrap()), text);
    }
}
