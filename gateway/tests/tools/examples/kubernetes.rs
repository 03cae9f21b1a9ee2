//! The manifests under `examples/kubernetes`.

use std::{collections::BTreeSet, process::Command};

use api::{GatewayConfig, RoleArn, names, v1alpha1::BedrockAccess};
use awsdouble::policy::{Context, Policy, Request, evaluate};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    policy::v1::PodDisruptionBudget,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::{accepted, documents, root, variable_exists, yaml};
use crate::support::PROFILE;

/// Parses a document as a Kubernetes type and checks that serialization keeps all fields, so no field is unknown.
#[track_caller]
fn typed<T: DeserializeOwned + Serialize>(document: &Value) -> T {
    let typed: T = serde_json::from_value(document.clone()).unwrap();
    let mut back = serde_json::to_value(&typed).unwrap();
    for (name, value) in document.as_object().unwrap() {
        contains(&mut back, name, value, name);
    }
    typed
}

/// Checks that `back[name]` has every field of `value` with the same content.
#[track_caller]
fn contains(back: &mut Value, name: &str, value: &Value, path: &str) {
    let field = &mut back[name];
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                contains(field, name, value, &format!("{path}.{name}"));
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                let Value::Object(fields) = item else {
                    assert_eq!(&field[at], item, "{path}[{at}]");
                    continue;
                };
                for (name, value) in fields {
                    contains(&mut field[at], name, value, &format!("{path}[{at}].{name}"));
                }
            }
        }
        plain => assert_eq!(field, plain, "{path} is not a field of the type"),
    }
}

#[test]
fn manifests_are_consistent() {
    let mut accounts = Vec::new();
    let mut configs = Vec::new();
    let mut deployments = Vec::new();
    let mut services = Vec::new();
    let mut budgets = Vec::new();
    for document in documents("examples/kubernetes/irsa.yaml") {
        match document["kind"].as_str().unwrap() {
            "ServiceAccount" => accounts.push(typed::<ServiceAccount>(&document)),
            "ConfigMap" => configs.push(typed::<ConfigMap>(&document)),
            "Deployment" => deployments.push(typed::<Deployment>(&document)),
            "Service" => services.push(typed::<Service>(&document)),
            "PodDisruptionBudget" => budgets.push(typed::<PodDisruptionBudget>(&document)),
            other => panic!("{other}"),
        }
    }
    let role = &accounts[0].metadata.annotations.as_ref().unwrap()[names::ROLE_ARN_ANNOTATION];
    role.parse::<RoleArn>().unwrap();

    let spec = deployments[0].spec.as_ref().unwrap();
    assert_eq!(spec.replicas, Some(3));
    let labels = spec
        .template
        .metadata
        .as_ref()
        .unwrap()
        .labels
        .clone()
        .unwrap();
    assert_eq!(spec.selector.match_labels.as_ref().unwrap(), &labels);
    assert_eq!(
        services[0]
            .spec
            .as_ref()
            .unwrap()
            .selector
            .as_ref()
            .unwrap(),
        &labels
    );
    let budget = budgets[0].spec.as_ref().unwrap().selector.as_ref().unwrap();
    assert_eq!(budget.match_labels.as_ref().unwrap(), &labels);

    let pod = spec.template.spec.as_ref().unwrap();
    assert_eq!(pod.service_account_name, accounts[0].metadata.name);
    let container = &pod.containers[0];
    assert_eq!(container.command, Some(vec!["bedrock-gateway".to_owned()]));
    let arguments = container.args.clone().unwrap();
    accepted(&arguments);
    let variables = container.env.as_ref().unwrap();
    for variable in variables {
        variable_exists(&variable.name);
    }
    let value = |name: &str| {
        let found = variables
            .iter()
            .find(|variable| variable.name == name)
            .unwrap();
        found.value.clone().unwrap()
    };
    assert_eq!(&value("AWS_ROLE_ARN"), role);
    let token = format!("{}/{}", names::TOKEN_DIRECTORY, names::TOKEN_FILE_NAME);
    assert_eq!(value("AWS_WEB_IDENTITY_TOKEN_FILE"), token);

    let volumes: BTreeSet<&str> = pod
        .volumes
        .iter()
        .flatten()
        .map(|v| v.name.as_str())
        .collect();
    for mount in container.volume_mounts.iter().flatten() {
        assert!(
            volumes.contains(mount.name.as_str()),
            "{} is not a volume",
            mount.name
        );
    }
    let projected = pod
        .volumes
        .iter()
        .flatten()
        .find_map(|volume| volume.projected.as_ref());
    let source = &projected.unwrap().sources.as_ref().unwrap()[0];
    let source = source.service_account_token.as_ref().unwrap();
    assert_eq!(source.audience.as_deref(), Some(names::STS_AUDIENCE));

    let text = &configs[0].data.as_ref().unwrap()[names::CONFIG_KEY];
    let config = GatewayConfig::from_yaml(text).unwrap();
    assert!(config.clients.authenticate());
    let keys = config.clients.api_keys_directory.unwrap();
    let mounts: Vec<&str> = container
        .volume_mounts
        .iter()
        .flatten()
        .map(|mount| mount.mount_path.as_str())
        .collect();
    assert!(mounts.contains(&keys.as_str()));
    assert!(mounts.contains(&names::CONFIG_DIRECTORY));
    let grace = pod.termination_grace_period_seconds.unwrap();
    assert!(grace > i64::try_from(config.limits.drain_seconds).unwrap());
}

#[test]
fn bedrock_access_is_valid_and_iam_prints_its_policies() {
    let document = yaml("examples/kubernetes/bedrockaccess.yaml");
    let access: BedrockAccess = typed(&document);
    assert_eq!(access.spec.models.len(), 1);
    let path = root().join("examples/kubernetes/bedrockaccess.yaml");
    let output = Command::new(env!("CARGO_BIN_EXE_bedrock-gateway"))
        .args([
            "iam",
            "--kind",
            "role",
            "--issuer",
            "https://oidc.example",
            "--access",
        ])
        .arg(path)
        .env_clear()
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let role: Value = serde_json::from_slice(&output.stdout).unwrap();
    let policy = Policy::from_value(&role["PermissionPolicy"]).unwrap();
    let context = Context::new();
    let request = Request {
        principal: None,
        action: "bedrock:InvokeModel",
        resource: &format!("arn:aws:bedrock:us-east-1:123456789012:inference-profile/{PROFILE}"),
        context: &context,
    };
    assert!(evaluate(&[policy], request).is_allowed());
    assert!(
        role["TrustPolicy"]
            .to_string()
            .contains("system:serviceaccount:team-a:chat-gateway")
    );
}
