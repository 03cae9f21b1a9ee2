//! Objects as the API server stores them, and as `kubectl get` prints them.

use std::collections::BTreeSet;

use api::v1alpha1::BedrockAccess;
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

use super::rig::{Rig, sample_spec};
use crate::support::eventually;

/// All scalars and empty containers of a value, each as `path=value`.
fn leaves(value: &Value) -> BTreeSet<String> {
    fn walk(path: &str, value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) if !fields.is_empty() => {
                for (name, inner) in fields {
                    walk(&format!("{path}.{name}"), inner, found);
                }
            }
            Value::Array(items) if !items.is_empty() => {
                for (index, inner) in items.iter().enumerate() {
                    walk(&format!("{path}[{index}]"), inner, found);
                }
            }
            leaf => {
                found.insert(format!("{path}={leaf}"));
            }
        }
    }
    let mut found = BTreeSet::new();
    walk("spec", value, &mut found);
    found
}

/// Applies a spec and returns the leaves of the stored spec that the user did not write.
async fn added(rig: &Rig, spec: &Value) -> Vec<String> {
    rig.apply("chat", spec).await.unwrap();
    let kind = ApiResource::erase::<BedrockAccess>(&());
    let objects: Api<DynamicObject> =
        Api::namespaced_with(rig.client.clone(), &rig.namespace, &kind);
    let stored = leaves(&objects.get("chat").await.unwrap().data["spec"]);
    let written = leaves(spec);
    assert!(written.is_subset(&stored), "{written:?} in {stored:?}");
    stored.difference(&written).cloned().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_defaults_that_mean_something_are_stored() {
    let rig = Rig::without_operator().await;
    let minimal = sample_spec();
    assert_eq!(leaves(&minimal).len(), 5);
    assert_eq!(added(&rig, &minimal).await, [""; 0]);

    let mut spec = sample_spec();
    spec["models"] = json!([{"name": "fast", "targets": [{"modelId": "amazon.nova-lite-v1:0"}]}]);
    spec["serviceAccount"] = json!({"name": "gateway"});
    spec["clients"] = json!({"serviceAccounts": [{"name": "app", "limits": {"tokensPerDay": 1}}]});
    spec["gateway"] = json!({
        "autoscaling": {"maxReplicas": 3},
        "networkPolicy": {"from": [{"namespaceSelector": {"matchLabels": {"team": "a"}}}]},
        "podMonitor": {"interval": "30s"},
        "service": {"labels": {"a": "b"}},
    });
    spec["sidecar"] = json!({"serviceAccounts": [{"name": "app"}]});
    assert_eq!(
        added(&rig, &spec).await,
        [
            "spec.gateway.enabled=true",
            "spec.gateway.networkPolicy.enabled=true",
            "spec.models[0].targets[0].weight=1",
            "spec.serviceAccount.create=true",
        ]
    );

    // A policy applies to the whole cluster, so this is not for the shared API server.
    let policy = "{apiVersion: bedrockaccess.dev/v1alpha1, kind: BedrockAccessPolicy, metadata: {name: all}, spec: {namespaces: {names: ['*']}}}";
    rig.kubectl_apply("integration-test", policy);
    let table = kubectl(&rig, &["get", "bdap"]);
    assert_eq!(words(&table)[0], ["NAME", "NAMESPACES", "AGE"]);
}

/// Output of kubectl with these arguments, in the namespace of the rig.
fn kubectl(rig: &Rig, arguments: &[&str]) -> String {
    let mut command = rig.cluster().kubectl();
    command
        .args(["--namespace", &rig.namespace])
        .args(arguments);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The words of each line.
fn words(output: &str) -> Vec<Vec<&str>> {
    output
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn kubectl_prints_readiness_and_the_rest_on_request() {
    let rig = Rig::shared("columns").await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children("chat-gateway").await;
    rig.mark_available("chat-gateway").await;
    rig.condition("chat", "Ready", "True").await;
    eventually("both gateways are counted", || async {
        let table = kubectl(&rig, &["get", "bda", "chat"]);
        let rows = words(&table);
        assert_eq!(rows[0], ["NAME", "READY", "REASON", "GATEWAYS", "AGE"]);
        let complete = rows[1][..4] == ["chat", "True", "Ready", "2/2"];
        complete.then_some(()).ok_or_else(|| table.clone())
    })
    .await;
    let table = kubectl(&rig, &["get", "bda", "chat", "--output", "wide"]);
    let rows = words(&table);
    assert_eq!(
        rows[0],
        [
            "NAME", "READY", "REASON", "GATEWAYS", "AGE", "SIDECARS", "ENDPOINT", "TODAY", "MONTH",
            "ROLE"
        ]
    );
    // The object has no sidecars.
    let endpoint = "http://chat-gateway.columns.svc:8000";
    let role = "arn:aws:iam::123456789012:role/BedrockRole";
    assert_eq!(rows[1][5..], [endpoint, role]);
}
