//! What a run applies: the simulated account, names of AWS and of the store of limits, the BedrockAccess.

use localcluster::{ISSUER, NODE_ADDRESS};
use serde_json::{Value, json};

use super::surfaces::{CLAUDE, FAST};

/// Namespaces, and the name of the BedrockAccess.
pub(super) const OPERATORS: &str = "bedrock-access-system";
pub(super) const TEAM: &str = "team-a";
pub(super) const ACCESS: &str = "chat";
pub(super) const GATEWAY: &str = "chat-gateway";
pub(super) const APP: &str = "app";
/// API keys; the second is used in turn with the first.
pub(super) const FIRST_KEY: &str = "sk-chaos-first-0123456789abcdef";
pub(super) const SECOND_KEY: &str = "sk-chaos-second-0123456789abcdef";
/// Roles that trust the gateway.
pub(super) const ROLES: [&str; 2] = [
    "arn:aws:iam::123456789012:role/First",
    "arn:aws:iam::123456789012:role/Second",
];
/// The simulated account: the cluster's tokens, and roles with the permissions of a gateway.
pub(super) fn account(keys: Value) -> Value {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": [
            "bedrock:InvokeModel",
            "bedrock:InvokeModelWithResponseStream",
            "bedrock:ListFoundationModels",
            "bedrock:ListInferenceProfiles",
        ],
        "Resource": "*",
    }] });
    let config = awsdouble::Config::default().with_issuer(ISSUER, keys);
    let trust = config.irsa_trust(ISSUER, TEAM, GATEWAY);
    let config = ROLES.iter().fold(config, |config, role| {
        config.with_role(role, trust.clone(), policy.clone())
    });
    serde_json::to_value(config).unwrap()
}

/// Namespaces, the Services of AWS and of the store under their names, and what clients prove themselves with.
pub(super) fn prerequisites() -> Vec<Value> {
    let mut documents = Vec::new();
    for name in ["outside", TEAM] {
        documents
            .push(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    }
    for (name, port, target) in [("aws", 80, 4566), ("store", 6379, 6379)] {
        documents.push(json!({
            "apiVersion": "v1", "kind": "Service", "metadata": { "name": name, "namespace": "outside" },
            "spec": { "ports": [{ "name": "tcp", "port": port, "targetPort": target }] },
        }));
        documents.push(json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {
                "name": name, "namespace": "outside",
                "labels": { "kubernetes.io/service-name": name },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "tcp", "port": target }],
            "endpoints": [{ "addresses": [NODE_ADDRESS] }],
        }));
    }
    documents.push(json!({
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": { "name": APP, "namespace": TEAM },
    }));
    documents.push(keys(&[("first", FIRST_KEY)]));
    documents
}

/// The Secret with API keys.
pub(super) fn keys(keys: &[(&str, &str)]) -> Value {
    let data: serde_json::Map<String, Value> = keys
        .iter()
        .map(|(name, key)| ((*name).to_owned(), json!(key)))
        .collect();
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "keys", "namespace": TEAM },
        "stringData": data,
    })
}

/// The BedrockAccess.
pub(super) fn access() -> Value {
    let aws = "http://aws.outside.svc";
    json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccess",
        "metadata": { "name": ACCESS, "namespace": TEAM },
        "spec": {
            "region": "us-east-1",
            "endpoints": { "bedrockRuntime": aws, "bedrock": aws, "sts": aws },
            "identity": { "irsa": { "roleArn": ROLES[0], "tokenExpirationSeconds": 600 } },
            "models": [
                { "name": FAST, "modelId": "us.amazon.nova-2-lite-v1:0" },
                { "name": CLAUDE, "modelId": "us.anthropic.claude-sonnet-4-5-20250929-v1:0" },
            ],
            "clients": {
                "serviceAccounts": [{ "name": APP }],
                "apiKeys": { "secretName": "keys" },
            },
            "limits": {
                "requestsPerMinute": 100_000,
                "tokensPerMinute": 100_000_000,
                "store": { "redis": { "url": "redis://store.outside.svc:6379" } },
            },
        },
    })
}
