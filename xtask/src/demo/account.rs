//! The simulated AWS account of the demo, and the BedrockAccess that uses it.

use serde_json::{Value, json};

use super::{ACCESS, AWS, MODEL, TEAM};

const REGION: &str = "us-east-1";
/// The role of the sample.
pub(super) const ROLE: &str = "arn:aws:iam::123456789012:role/BedrockRole";

/// The role of the sidecars, and the ServiceAccount of their pods.
pub(super) const SIDECAR_ROLE: &str = "arn:aws:iam::123456789012:role/SidecarRole";
pub(super) const WORKER: &str = "worker";

/// A role that the account does not have.
pub(super) const STRANGER: &str = "arn:aws:iam::123456789012:role/Unknown";

/// Namespaces, and the account with the cluster as an identity provider, a role that only the gateway's ServiceAccount
/// may assume, and a role for pods with a sidecar.
pub(super) fn manifest(issuer: &str, keys: &Value) -> String {
    let host = issuer.trim_start_matches("https://");
    let account = json!({
        "account": "123456789012",
        "oidc_providers": [{
            "issuer": issuer,
            "audiences": ["sts.amazonaws.com"],
            "jwks": { "inline": keys },
        }],
        "roles": [
            role(ROLE, &trust(host, &format!("{ACCESS}-gateway"))),
            role(SIDECAR_ROLE, &trust(host, WORKER)),
        ],
    });
    let namespace = |name: &str| {
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": name,
            "labels": { "pod-security.kubernetes.io/enforce": "restricted" },
        } })
    };
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": "awsdouble", "namespace": AWS },
        "data": { "config.yaml": account.to_string() },
    });
    list(&[namespace(AWS), namespace(TEAM), map])
}

/// A role with the permissions of a gateway that trusts `trusted`.
fn role(arn: &str, trusted: &Value) -> Value {
    json!({
        "arn": arn,
        "trust_policy": { "Version": "2012-10-17", "Statement": [trusted] },
        "policies": [{ "Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Action": [
                "bedrock:InvokeModel",
                "bedrock:InvokeModelWithResponseStream",
                "bedrock:ListFoundationModels",
                "bedrock:ListInferenceProfiles",
            ],
            "Resource": "*",
        }] }],
    })
}

fn trust(host: &str, account: &str) -> Value {
    json!({
        "Effect": "Allow",
        "Principal": { "Federated": format!("arn:aws:iam::123456789012:oidc-provider/{host}") },
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": { "StringEquals": {
            format!("{host}:aud"): "sts.amazonaws.com",
            format!("{host}:sub"): format!("system:serviceaccount:{TEAM}:{account}"),
        } },
    })
}

/// The sample of `manifests/samples`, with the endpoints of the simulated AWS.
pub(super) fn access() -> String {
    let url = format!("http://awsdouble.{AWS}.svc");
    list(&[json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccess",
        "metadata": { "name": ACCESS, "namespace": TEAM },
        "spec": {
            "region": REGION,
            "endpoints": { "bedrockRuntime": url, "bedrock": url, "sts": url },
            "identity": { "irsa": { "roleArn": ROLE } },
            "models": [{ "name": MODEL, "modelId": "us.amazon.nova-2-lite-v1:0" }],
            "clients": { "serviceAccounts": [{ "name": "app" }] },
        },
    })])
}

/// YAML documents, since JSON is YAML.
fn list(items: &[Value]) -> String {
    let documents: Vec<String> = items.iter().map(ToString::to_string).collect();
    format!("---\n{}\n", documents.join("\n---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_of_the_demo_trusts_the_gateway_of_its_access_alone() {
        let manifest = manifest("https://issuer.example", &json!({ "keys": [] }));
        let map: Value = serde_json::from_str(manifest.split("---\n").last().unwrap()).unwrap();
        let account: Value =
            serde_json::from_str(map["data"]["config.yaml"].as_str().unwrap()).unwrap();
        let condition = &account["roles"][0]["trust_policy"]["Statement"][0]["Condition"];
        assert_eq!(
            condition["StringEquals"]["issuer.example:sub"],
            "system:serviceaccount:team-a:chat-gateway"
        );
        assert_eq!(
            condition["StringEquals"]["issuer.example:aud"],
            "sts.amazonaws.com"
        );
    }

    #[test]
    fn access_of_the_demo_is_the_sample_with_other_endpoints() {
        let sample = crate::repository::read(
            &crate::repository::root().join("manifests/samples/bedrockaccess.yaml"),
        );
        let sample: Value = serde_yaml::from_str(&sample.unwrap()).unwrap();
        let mut access: Value = serde_json::from_str(access().trim_start_matches("---\n")).unwrap();
        access["spec"].as_object_mut().unwrap().remove("endpoints");
        assert_eq!(access, sample);
    }
}
