//! The generated definition: files up to date, and what every field must have.

use std::path::Path;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

use super::*;

/// Where a definition is kept, from the root of the repository.
const FOLDERS: [&str; 2] = ["crds", "charts/bedrock-access/crds"];

#[test]
fn files_of_the_repository_are_what_the_types_generate() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (name, yaml) in crd_files().unwrap() {
        for folder in FOLDERS {
            let path = root.join(folder).join(&name);
            if std::env::var_os("UPDATE_CRDS").is_some() {
                std::fs::create_dir_all(root.join(folder)).unwrap();
                std::fs::write(&path, &yaml).unwrap();
            }
            let found = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                found == yaml,
                "{folder}/{name} is out of date: run `cargo xtask crds`"
            );
        }
    }
}

#[track_caller]
fn walk(path: &str, schema: &JSONSchemaProps, found: &mut Vec<String>) {
    assert!(
        schema.description.is_some() || path.ends_with("[]") || path.ends_with("{}"),
        "{path} has no description"
    );
    assert!(schema.nullable.is_none(), "{path} is nullable");
    found.push(path.to_owned());
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

#[test]
fn every_field_has_a_description_and_none_is_nullable() {
    let mut found = Vec::new();
    for crd in crds() {
        let schema = crd.spec.versions[0]
            .schema
            .as_ref()
            .and_then(|schema| schema.open_api_v3_schema.as_ref())
            .unwrap();
        for (name, property) in schema.properties.as_ref().unwrap() {
            walk(name, property, &mut found);
        }
    }
    assert!(found.contains(&"spec.namespaces.selector".to_owned()));
    assert!(found.contains(&"spec.identity.irsa.roleArn".to_owned()));
    assert!(found.contains(&"status.conditions[].type".to_owned()));
}

#[test]
fn smallest_object_gets_the_documented_defaults() {
    let access: BedrockAccess = serde_yaml::from_str(
        r#"
apiVersion: bedrockaccess.dev/v1alpha1
kind: BedrockAccess
metadata: { name: chat, namespace: team-a }
spec:
  region: us-east-1
  identity: { irsa: { roleArn: "arn:aws:iam::123456789012:role/BedrockRole" } }
  models: [ { name: fast, modelId: "amazon.nova-lite-v1:0" } ]
  clients: { anonymous: true }
"#,
    )
    .unwrap();
    let irsa = access.spec.identity.irsa.unwrap();
    assert_eq!(irsa.audience, "sts.amazonaws.com");
    assert_eq!(irsa.token_expiration_seconds, 86_400);
    assert!(access.spec.service_account.create);
    assert_eq!(access.spec.gateway.replicas, None);
    assert!(access.spec.gateway.network_policy.enabled);
    assert_eq!(access.spec.gateway, GatewaySpec::default());
}
