//! The chart and the plain manifests, rendered by Helm and Kustomize: both install the same objects.

use std::{collections::BTreeMap, fs, path::PathBuf};

use localcluster::Tools;
use serde_json::Value;

const NAMESPACE: &str = "bedrock-access-system";

fn repository() -> PathBuf {
    let tests = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap().to_owned()
}

/// Objects by kind and name, without the labels that are true only of objects that Helm installs.
fn objects(text: &str) -> BTreeMap<String, Value> {
    let documents = serde_yaml::Deserializer::from_str(text)
        .map(|document| <Value as serde::Deserialize>::deserialize(document).unwrap());
    documents
        .filter(|object| !object.is_null() && object["kind"] != "Namespace")
        .map(|mut object| {
            for pointer in ["/metadata/labels", "/spec/template/metadata/labels"] {
                if let Some(labels) = object.pointer_mut(pointer).and_then(Value::as_object_mut) {
                    labels.remove("app.kubernetes.io/managed-by");
                    labels.remove("helm.sh/chart");
                }
            }
            unify_numbers(&mut object);
            let name = object["metadata"]["name"].as_str().unwrap();
            (
                format!("{} {name}", object["kind"].as_str().unwrap()),
                object,
            )
        })
        .collect()
}

/// Kustomize writes `1.0` as `1`.
fn unify_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().unwrap().into(),
        Value::Array(items) => items.iter_mut().for_each(unify_numbers),
        Value::Object(fields) => fields.values_mut().for_each(unify_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

fn output(command: &mut std::process::Command) -> String {
    let output = command.current_dir(repository()).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn check(directory: &str, values: &[&str]) {
    let tools = Tools::prepare().unwrap();
    let kustomized = objects(&output(tools.kubectl().args(["kustomize", directory])));
    let chart = ["template", "bedrock-access", "charts/bedrock-access"];
    let fixed = [
        "--skip-tests",
        "--set=crds.keep=false",
        "--namespace",
        NAMESPACE,
    ];
    let rendered = objects(&output(tools.helm().args(chart).args(fixed).args(values)));
    let names = |objects: &BTreeMap<String, Value>| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&kustomized), names(&rendered), "{directory}");
    for (name, object) in &kustomized {
        assert_eq!(object, &rendered[name], "{directory}: {name}");
    }
}

#[test]
fn kustomize_base_is_the_chart_with_its_defaults() {
    check("manifests/base", &[]);
}

#[test]
fn overlay_for_high_availability_is_the_chart_with_values_ha() {
    let values = "--values=charts/bedrock-access/values-ha.yaml";
    check("manifests/overlays/high-availability", &[values]);
}

#[test]
fn overlay_without_sidecar_is_the_chart_without_it() {
    let values = "--set=sidecar.enabled=false";
    check("manifests/overlays/without-sidecar", &[values]);
}

#[test]
fn kustomization_can_change_both_images_and_the_namespace() {
    let target = repository().join("target");
    fs::create_dir_all(&target).unwrap();
    let directory = tempfile::tempdir_in(target).unwrap();
    let path = directory.path().join("kustomization.yaml");
    let kustomization = "resources: [../../manifests/base]\nnamespace: other\nimages:\n\
        - { name: bedrock-access/bedrock-access-operator, newName: mirror.example/operator, newTag: \"1\" }\n\
        - { name: bedrock-access/bedrock-gateway, newName: mirror.example/gateway, newTag: \"1\" }\n";
    fs::write(path, kustomization).unwrap();
    let tools = Tools::prepare().unwrap();
    let rendered = objects(&output(
        tools.kubectl().arg("kustomize").arg(directory.path()),
    ));
    let deployment = &rendered["Deployment bedrock-access-operator"];
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(deployment["metadata"]["namespace"], "other");
    assert_eq!(container["image"], "mirror.example/operator:1");
    let environment = container["env"].as_array().unwrap();
    let gateway = environment
        .iter()
        .find(|variable| variable["name"] == "GATEWAY_IMAGE");
    assert_eq!(gateway.unwrap()["value"], "mirror.example/gateway:1");
    let webhook = &rendered["MutatingWebhookConfiguration bedrock-access-sidecar"];
    let service = &webhook["webhooks"][0]["clientConfig"]["service"];
    assert_eq!(service["namespace"], "other");
}

#[test]
fn parent_chart_can_disable_the_chart_and_share_its_registry() {
    let directory = tempfile::tempdir().unwrap();
    let charts = directory.path().join("charts");
    fs::create_dir(&charts).unwrap();
    let chart = repository().join("charts/bedrock-access");
    output(
        std::process::Command::new("cp")
            .arg("-r")
            .args([&chart, &charts]),
    );
    let version = env!("CARGO_PKG_VERSION");
    let parent = format!(
        "apiVersion: v2\nname: platform\nversion: 1.0.0\ndependencies:\n\
         - {{ name: bedrock-access, version: {version}, condition: bedrock-access.enabled }}\n"
    );
    fs::write(directory.path().join("Chart.yaml"), parent).unwrap();
    let values = "global: { imageRegistry: mirror.example, storageClass: gp3 }\n";
    fs::write(directory.path().join("values.yaml"), values).unwrap();
    let tools = Tools::prepare().unwrap();
    let render = |enabled: &str| {
        let template = ["template", "platform", "--skip-tests"];
        let set = format!("--set=bedrock-access.enabled={enabled}");
        objects(&output(
            tools.helm().args(template).arg(set).arg(directory.path()),
        ))
    };
    assert!(render("false").is_empty());
    let rendered = render("true");
    let deployment = &rendered["Deployment bedrock-access-operator"];
    let image = &deployment["spec"]["template"]["spec"]["containers"][0]["image"];
    let expected = format!("mirror.example/bedrock-access/bedrock-access-operator:{version}");
    assert_eq!(image, &Value::from(expected));
}

/// Paths of the leaves of a map.
fn leaves(value: &Value, path: &str, found: &mut Vec<String>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (key, value) in map {
                leaves(value, &format!("{path}.{key}"), found);
            }
        }
        _ => found.push(path.to_owned()),
    }
}

#[test]
fn schema_of_the_values_has_every_default_and_no_other_top_level_key() {
    let chart = repository().join("charts/bedrock-access");
    let values = fs::read_to_string(chart.join("values.yaml")).unwrap();
    let values: Value = serde_yaml::from_str(&values).unwrap();
    let schema = fs::read_to_string(chart.join("values.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let keys = |value: &Value| {
        value
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let (mut ours, mut known) = (keys(&values), keys(&schema["properties"]));
    ours.sort();
    known.sort();
    assert_eq!(ours, known);
    let mut paths = Vec::new();
    leaves(&values, "", &mut paths);
    assert!(paths.len() > 80, "{}", paths.len());
    for path in paths {
        let mut node = &schema;
        for key in path.split('.').skip(1) {
            if node["properties"].is_null() {
                break;
            }
            node = &node["properties"][key];
            assert!(node.is_object(), "{path} is not in the schema");
        }
    }
}
