//! The generated definitions: the files are up to date, every field is documented, and few defaults are stored.

use std::{collections::BTreeMap, path::Path};

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

use super::*;

/// Directories of the definitions, relative to the root of the repository.
const DIRECTORIES: [&str; 2] = ["crds", "charts/bedrock-access/files/crds"];

#[test]
fn definitions_in_the_repository_match_the_types() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, yaml) in crd_files().unwrap() {
        for directory in DIRECTORIES {
            let path = root.join(directory).join(&name);
            if std::env::var_os("UPDATE_CRDS").is_some() {
                std::fs::create_dir_all(root.join(directory)).unwrap();
                std::fs::write(&path, &yaml).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == yaml,
                "{directory}/{name} is out of date: run `cargo xtask crds`"
            );
        }
    }
}

/// Checks a schema and collects its fields, each with its default.
#[track_caller]
fn walk(path: &str, schema: &JSONSchemaProps, found: &mut BTreeMap<String, Option<Value>>) {
    assert!(
        schema.description.is_some() || path.ends_with("[]") || path.ends_with("{}"),
        "{path} has no description"
    );
    assert!(schema.nullable.is_none(), "{path} is nullable");
    let default = schema.default.as_ref().map(|default| default.0.clone());
    found.insert(path.to_owned(), default);
    for (name, property) in schema.properties.iter().flatten() {
        walk(&format!("{path}.{name}"), property, found);
    }
    if let Some(items) = schema.items.as_ref() {
        let k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray::Schema(items) =
            items
        else {
            panic!("{path} is a tuple")
        };
        walk(&format!("{path}[]"), items, found);
    }
}

fn fields() -> BTreeMap<String, Option<Value>> {
    let mut found = BTreeMap::new();
    for crd in crds() {
        let kind = &crd.spec.names.kind;
        let schema = crd.spec.versions[0]
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref())
            .unwrap();
        for (name, property) in schema.properties.as_ref().unwrap() {
            walk(&format!("{kind}.{name}"), property, &mut found);
        }
    }
    found
}

#[test]
fn every_field_has_a_description_and_none_is_nullable() {
    let found = fields();
    for field in [
        "BedrockAccessPolicy.spec.namespaces.selector",
        "BedrockAccess.spec.identity.irsa.roleArn",
        "BedrockAccess.status.conditions[].type",
    ] {
        assert!(found.contains_key(field), "{field}");
    }
}

#[test]
fn stored_defaults_are_those_whose_zero_value_means_something_else() {
    let defaults: BTreeMap<String, Value> = fields()
        .into_iter()
        .filter_map(|(field, default)| Some((field, default?)))
        .collect();
    let expected = [
        ("BedrockAccess.spec.gateway.enabled", true.into()),
        (
            "BedrockAccess.spec.gateway.networkPolicy.enabled",
            true.into(),
        ),
        ("BedrockAccess.spec.models[].targets[].weight", 1.into()),
        ("BedrockAccess.spec.serviceAccount.create", true.into()),
    ]
    .map(|(field, default): (&str, Value)| (field.to_owned(), default));
    assert_eq!(defaults, BTreeMap::from(expected));
}

/// An object with `spec` below a minimal one.
fn access(more: &str) -> BedrockAccess {
    let text = format!(
        r#"
apiVersion: bedrockaccess.dev/v1alpha1
kind: BedrockAccess
metadata: {{ name: chat, namespace: team-a }}
spec:
  region: us-east-1
  identity: {{ irsa: {{ roleArn: "arn:aws:iam::123456789012:role/BedrockRole" }} }}
  models: [ {{ name: fast, modelId: "amazon.nova-lite-v1:0" }} ]
  clients: {{ anonymous: true }}
  {more}
"#
    );
    serde_yaml::from_str(&text).unwrap()
}

#[test]
fn line_breaks_of_doc_comments_are_removed_and_paragraphs_and_lists_stay() {
    for (text, expected) in [
        ("one\ntwo", "one two"),
        ("one\n\ntwo\nthree", "one\n\ntwo three"),
        ("list:\n- one\n- two\n\nend", "list:\n- one\n- two\n\nend"),
        ("same", "same"),
    ] {
        assert_eq!(unwrapped(text), expected, "{text:?}");
    }
}

#[test]
fn minimal_object_gets_the_documented_defaults() {
    let access = access("");
    let irsa = access.spec.identity.irsa.unwrap();
    assert_eq!(irsa.audience(), "sts.amazonaws.com");
    assert_eq!(irsa.token_expiration_seconds(), 86_400);
    assert!(!access.spec.suspend);
    assert!(access.spec.service_account.create);
    let gateway = access.spec.gateway;
    assert_eq!(gateway, GatewaySpec::default());
    assert_eq!(gateway.replicas, None);
    assert!(gateway.network_policy.enabled);
    assert_eq!(gateway.image_pull_policy().as_str(), "IfNotPresent");
    assert_eq!(gateway.log_level().as_str(), "info");
    assert_eq!(
        serde_json::to_value(gateway.resources()).unwrap(),
        serde_json::json!({
            "limits": {"memory": "512Mi"},
            "requests": {"cpu": "100m", "memory": "64Mi"},
        })
    );
}

#[test]
fn minimum_of_the_autoscaler_follows_a_smaller_maximum() {
    for (settings, expected) in [
        ("{maxReplicas: 5}", (2, 80)),
        ("{maxReplicas: 1}", (1, 80)),
        (
            "{minReplicas: 3, maxReplicas: 5, targetCPUUtilizationPercentage: 50}",
            (3, 50),
        ),
    ] {
        let spec: autoscaling::AutoscalingSpec = serde_yaml::from_str(settings).unwrap();
        let found = (spec.min_replicas(), spec.target_cpu_percent());
        assert_eq!(found, expected, "{settings}");
    }
}

#[test]
fn ports_of_a_sidecar_are_those_that_the_rule_of_the_schema_assumes() {
    let spec: SidecarSpec = serde_yaml::from_str("serviceAccounts: [{name: app}]").unwrap();
    assert_eq!((spec.port(), spec.admin_port()), (8000, 9090));
}

#[test]
fn object_that_an_earlier_release_stored_with_its_defaults_means_the_same() {
    let stored = r"
  allow: []
  serviceAccount: { create: true }
  gateway:
    enabled: true
    imagePullPolicy: IfNotPresent
    imagePullSecrets: []
    logLevel: info
    networkPolicy: { enabled: true }
    nodeSelector: {}
    podAnnotations: {}
    podLabels: {}
    resources: { limits: { memory: 512Mi }, requests: { cpu: 100m, memory: 64Mi } }
    service: { annotations: {}, labels: {} }
    tolerations: []
";
    let (stored, minimal) = (access(stored).spec, access("").spec);
    assert_eq!(stored.gateway.resources(), minimal.gateway.resources());
    assert_eq!(stored.gateway.service, minimal.gateway.service);
    assert_eq!(
        BedrockAccessSpec {
            gateway: GatewaySpec::default(),
            ..stored
        },
        minimal
    );
}

#[test]
fn minimal_object_is_written_as_it_was_read() {
    let written = serde_json::to_value(access("").spec).unwrap();
    let expected = serde_json::json!({
        "region": "us-east-1",
        "identity": {"irsa": {"roleArn": "arn:aws:iam::123456789012:role/BedrockRole"}},
        "models": [{"name": "fast", "modelId": "amazon.nova-lite-v1:0"}],
        "clients": {"anonymous": true},
    });
    assert_eq!(written, expected);
}
