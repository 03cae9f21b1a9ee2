use api::{catalogue, names};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::{AccessReport, write_text};
use crate::{read::Endpoint, state::State};

const SINCE: &str = "2026-01-01T00:00:00Z";

fn now() -> Timestamp {
    "2026-01-01T01:00:00Z".parse().unwrap()
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": SINCE, "observedGeneration": 2,
    })
}

fn pod(name: &str, label: &str, status: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": name, "namespace": "team-a", "creationTimestamp": SINCE,
            "labels": {label: "chat"},
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "bedrock-gateway"}]},
        "status": {"phase": "Running", "containerStatuses": [status]},
    }))
    .unwrap()
}

fn container(ready: bool, state: &Value) -> Value {
    json!({
        "name": "bedrock-gateway", "image": "bedrock-gateway:0.2.0", "imageID": "",
        "ready": ready, "restartCount": 0, "state": state,
    })
}

fn owned(kind: &str, name: &str, data: &Value) -> DynamicObject {
    let mut object = json!({
        "apiVersion": "v1", "kind": kind,
        "metadata": {"name": name, "namespace": "team-a", "labels": {names::ACCESS_LABEL: "chat"}},
    });
    object
        .as_object_mut()
        .unwrap()
        .extend(data.as_object().unwrap().clone());
    serde_json::from_value(object).unwrap()
}

fn endpoint(conditions: &[Value]) -> Endpoint {
    let access = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
        "metadata": {"name": "chat", "namespace": "team-a", "generation": 2},
        "spec": {
            "region": "us-east-1",
            "identity": {"irsa": {"roleArn": "arn:aws:iam::123456789012:role/BedrockRole"}},
            "models": [
                {"name": "fast", "modelId": "us.amazon.nova-2-lite-v1:0"},
                {"name": "wrong", "targets": [
                    {"modelId": "us.amazon.nova-2-lite-v1:0", "region": "eu-central-1"},
                    {"modelId": "us.amazon.nova-2-lite-v1:0", "priority": 1, "weight": 2},
                ]},
            ],
            "allow": ["anthropic.claude-*"],
            "clients": {
                "serviceAccounts": [{"name": "app", "models": ["fast"]}, {"namespace": "web", "name": "site"}],
                "apiKeys": {"secretName": "keys"},
            },
        },
        "status": {
            "observedGeneration": 2,
            "endpoint": "http://chat-gateway.team-a.svc:8000",
            "serviceAccountName": "chat-gateway",
            "roleArn": "arn:aws:iam::123456789012:role/BedrockRole",
            "conditions": conditions,
        },
    });
    Endpoint {
        policies: Some(Vec::new()),
        ..Endpoint::alone(serde_json::from_value(access).unwrap())
    }
}

fn healthy() -> Endpoint {
    let mut endpoint = endpoint(&[
        condition(
            "Ready",
            "True",
            "Ready",
            "2 of 2 gateway pods are available",
        ),
        condition(
            "Reconciling",
            "False",
            "UpToDate",
            "The cluster matches the spec.",
        ),
        condition("Stalled", "False", "UpToDate", "No action needed."),
        condition(
            "CredentialsReady",
            "True",
            "Ready",
            "The gateway pods have AWS credentials.",
        ),
    ]);
    endpoint.owned = vec![
        owned("ServiceAccount", "chat-gateway", &json!({})),
        owned(
            "Deployment",
            "chat-gateway",
            &json!({
                "spec": {"replicas": 2},
                "status": {"readyReplicas": 2, "updatedReplicas": 2},
            }),
        ),
    ];
    let running = container(true, &json!({"running": {"startedAt": SINCE}}));
    endpoint.pods = vec![
        pod("chat-gateway-2", names::ACCESS_LABEL, &running),
        pod("chat-gateway-1", names::ACCESS_LABEL, &running),
    ];
    endpoint
}

fn text(endpoints: &[Endpoint]) -> String {
    let reports: Vec<AccessReport> = endpoints
        .iter()
        .map(|endpoint| AccessReport::new(endpoint, now()))
        .collect();
    let mut out = anstream::StripStream::new(Vec::new());
    write_text(&reports, &mut out).unwrap();
    let text = String::from_utf8(out.into_inner()).unwrap();
    text.replace(catalogue::builtin().as_of(), "DATE")
}

#[test]
fn healthy_endpoint_is_a_tree_of_everything_that_belongs_to_it() {
    insta::assert_snapshot!(text(&[healthy()]));
}

#[test]
fn failing_endpoint_shows_each_problem_with_its_fix() {
    let mut failing = endpoint(&[
        condition(
            "Ready",
            "False",
            "AccessDenied",
            "2 of 2 gateway pods cannot get AWS credentials",
        ),
        condition("Reconciling", "True", "RollingOut", "waiting"),
        condition(
            "CredentialsReady",
            "False",
            "AccessDenied",
            "Not authorized to perform sts:AssumeRoleWithWebIdentity",
        ),
        condition(
            "Accepted",
            "True",
            "Allowed",
            "allowed by BedrockAccessPolicy teams",
        ),
        condition(
            "SidecarsUpToDate",
            "False",
            "Outdated",
            "1 of 2 sidecars is outdated",
        ),
    ]);
    failing.policies = Some(vec!["teams".to_owned(), "all".to_owned()]);
    failing.access.spec.sidecar =
        Some(serde_json::from_value(json!({"serviceAccounts": []})).unwrap());
    let status = failing.access.status.as_mut().unwrap();
    status.sidecars = Some(
        serde_json::from_value(json!({"total": 1, "ready": 1, "outdated": 1, "missing": 1}))
            .unwrap(),
    );
    failing.owned = vec![owned(
        "Deployment",
        "chat-gateway",
        &json!({"spec": {"replicas": 2}, "status": {"updatedReplicas": 1}}),
    )];
    let crash =
        json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s\nrestarting"}});
    let mut crashing = container(false, &crash);
    crashing["restartCount"] = json!(3);
    crashing["lastState"] = json!({"terminated": {"reason": "Error", "exitCode": 1}});
    failing.pods = vec![
        pod(
            "chat-gateway-1",
            names::ACCESS_LABEL,
            &container(false, &json!({"running": {}})),
        ),
        pod("chat-gateway-2", names::ACCESS_LABEL, &crashing),
    ];
    let mut without = pod(
        "app-2",
        names::INJECT_LABEL,
        &container(true, &json!({"running": {}})),
    );
    without.spec.as_mut().unwrap().containers[0].name = "app".to_owned();
    failing.sidecars = vec![
        without,
        pod(
            "app-1",
            names::INJECT_LABEL,
            &container(true, &json!({"running": {}})),
        ),
    ];
    failing.notes = vec!["networkpolicies: forbidden".to_owned()];
    insta::assert_snapshot!(text(&[failing]));
}

#[test]
fn object_that_no_operator_has_seen_is_an_error() {
    let mut new = endpoint(&[]);
    new.access.status = None;
    let report = AccessReport::new(&new, now());
    assert_eq!(report.state, State::Error);
    assert!(
        report.message.contains("kubectl bedrock check"),
        "{}",
        report.message
    );
}

#[test]
fn new_spec_that_is_not_observed_yet_is_a_warning() {
    let mut changed = healthy();
    changed.access.metadata.generation = Some(3);
    let report = AccessReport::new(&changed, now());
    assert_eq!(report.state, State::Warning);
    assert!(report.message.contains("latest spec"), "{}", report.message);
}

#[test]
fn rollout_is_a_warning_and_a_blocked_object_an_error() {
    let state = |reason: &str, reconciling: &str| {
        let conditions = vec![
            condition("Ready", "False", reason, "x"),
            condition("Reconciling", reconciling, reason, "x"),
        ];
        AccessReport::new(&endpoint(&conditions), now()).state
    };
    assert_eq!(state("RollingOut", "True"), State::Warning);
    assert_eq!(state("RollingOut", "False"), State::Error);
    assert_eq!(state("NotAllowed", "True"), State::Error);
}

#[test]
fn json_has_the_states_the_fixes_and_no_ages() {
    let value = serde_json::to_value(AccessReport::new(&healthy(), now())).unwrap();
    assert_eq!(value["state"], "ok");
    assert_eq!(value["models"][1]["state"], "warning");
    assert_eq!(value["pods"][0]["name"], "chat-gateway-1");
    assert_eq!(value["conditions"][0]["since"], "2026-01-01T00:00:00Z");
    assert_eq!(value["conditions"][0]["age"], Value::Null);
    assert_eq!(value["identity"]["kind"], "irsa");
}

#[test]
fn messages_of_the_cluster_cannot_control_the_terminal() {
    let mut hostile = healthy();
    let status = hostile.access.status.as_mut().unwrap();
    status.conditions[0].message = "a\u{1b}[2Jb\nc".to_owned();
    let text = text(&[hostile]);
    assert!(
        !text.contains('\u{1b}') && text.contains("a[2Jb c"),
        "{text}"
    );
}
