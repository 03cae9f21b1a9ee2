use std::io::Read as _;

use k8s_openapi::jiff::Timestamp;
use serde_json::json;

use super::Files;

/// Values that must not be in an archive.
const SECRETS: [&str; 6] = [
    "hunter2",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJSUzI1NiJ9",
    "ABSKQmVkcm9ja0FQSUtleQ",
    "sk-ant-api03-abcdefghijklmnop",
    "MHcCAQEE",
];

fn archive(files: &Files) -> Vec<(String, String)> {
    let mut bytes = Vec::new();
    files.write(&mut bytes, Timestamp::UNIX_EPOCH).unwrap();
    let mut archive = tar::Archive::new(bytes.as_slice());
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    entries.collect()
}

#[test]
fn archive_contains_no_secret_of_objects_and_logs() {
    let mut files = Files::default();
    files.add(
        "logs/one.log",
        "GET redis://user:hunter2@valkey\nAuthorization: Bearer eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln\n\
         AKIAIOSFODNN7EXAMPLE ABSKQmVkcm9ja0FQSUtleQ== sk-ant-api03-abcdefghijklmnop\n\
         -----BEGIN PRIVATE KEY-----\nMHcCAQEE\n-----END PRIVATE KEY-----\n",
    );
    files.add_objects(
        "pods.yaml",
        &[json!({
            "metadata": {"name": "app-1", "annotations": {"a": "hunter2"}},
            "spec": {"containers": [
                {"name": "app", "env": [{"name": "X", "value": "hunter2"}]},
                {"name": "bedrock-gateway", "env": [
                    {"name": "BEDROCK_GATEWAY_API_KEY", "value": "hunter2"},
                    {"name": "AWS_REGION", "value": "us-east-1"},
                ]},
            ]},
        })],
    );
    files.add_objects(
        "access.yaml",
        &[json!({
            "metadata": {"name": "chat"},
            "spec": {"identity": {"assumeRoles": [{"roleArn": "arn:aws:iam::1:role/A", "externalId": "hunter2"}]}},
        })],
    );
    files.add_objects(
        "config.yaml",
        &[json!({
            "metadata": {"name": "chat-gateway"},
            "data": {"gateway.yaml": "assumeRoles:\n- externalId: hunter2\n  roleArn: arn:aws:iam::1:role/A\n"},
        })],
    );
    files.not_read.push("secrets: password=hunter2".to_owned());
    files.finish();
    let found = archive(&files);
    assert_eq!(found.len(), 5);
    for (name, text) in &found {
        assert!(name.starts_with("bedrock-bundle/"), "{name}");
        for secret in SECRETS {
            assert!(!text.contains(secret), "{name} contains {secret}:\n{text}");
        }
    }
    let all: String = found.into_iter().map(|(_, text)| text).collect();
    for kept in ["us-east-1", "arn:aws:iam::1:role/A", "app-1"] {
        assert!(all.contains(kept), "{kept} is missing");
    }
}

#[test]
fn file_without_objects_is_left_out() {
    let mut files = Files::default();
    files.add_objects::<serde_json::Value>("none.yaml", &[]);
    assert!(archive(&files).is_empty());
}
