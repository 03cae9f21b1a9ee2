//! `BedrockAccessPolicy` against a real API server: allowed, denied, revoked, given back.

use api::{
    GatewayConfig, names,
    v1alpha1::{BedrockAccess, policy::BedrockAccessPolicy},
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    autoscaling::v2::HorizontalPodAutoscaler,
    core::v1::{ConfigMap, Namespace, ServiceAccount},
    events::v1::Event,
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use operator::Settings;
use serde_json::{Value, json};

use super::rig::{Rig, TEAM, sample_spec};
use crate::support::eventually;

const CHILD: &str = "chat-gateway";

pub(crate) async fn put(
    rig: &Rig,
    name: &str,
    spec: &Value,
) -> Result<BedrockAccessPolicy, kube::Error> {
    let object = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccessPolicy",
        "metadata": {"name": name},
        "spec": spec,
    });
    Api::<BedrockAccessPolicy>::all(rig.client.clone())
        .patch(
            name,
            &PatchParams::apply("integration-test").force(),
            &Patch::Apply(&object),
        )
        .await
}

pub(crate) async fn remove(rig: &Rig, name: &str) {
    Api::<BedrockAccessPolicy>::all(rig.client.clone())
        .delete(name, &DeleteParams::default())
        .await
        .unwrap();
}

async fn label(rig: &Rig, labels: &Value) {
    Api::<Namespace>::all(rig.client.clone())
        .patch(
            TEAM,
            &PatchParams::default(),
            &Patch::Merge(&json!({"metadata": {"labels": labels}})),
        )
        .await
        .unwrap();
}

/// Role of the ServiceAccount and number of the gateway's pods.
async fn stands(rig: &Rig, role: bool, replicas: i32) {
    eventually(&format!("role: {role}, replicas: {replicas}"), || async {
        let error = |error: kube::Error| error.to_string();
        let account = rig
            .api::<ServiceAccount>()
            .get(CHILD)
            .await
            .map_err(error)?;
        let annotations = account.metadata.annotations.unwrap_or_default();
        let deployment = rig.api::<Deployment>().get(CHILD).await.map_err(error)?;
        let now = (
            annotations.contains_key(names::ROLE_ARN_ANNOTATION),
            deployment.spec.unwrap().replicas,
        );
        if now == (role, Some(replicas)) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;
}

async fn autoscaled(rig: &Rig, wanted: bool) {
    eventually(&format!("autoscaler: {wanted}"), || async {
        let found = rig.api::<HorizontalPodAutoscaler>().get_opt(CHILD).await;
        let there = found.map_err(|error| error.to_string())?.is_some();
        if there == wanted {
            Ok(())
        } else {
            Err(format!("{there}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn access_is_revoked_when_policies_come_and_given_back_when_one_allows_it() {
    let rig = Rig::start().await;
    let mut spec = sample_spec();
    spec["gateway"] = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 4}});
    spec["sidecar"] = json!({"serviceAccounts": [{"name": "app"}]});
    rig.apply("chat", &spec).await.unwrap();
    rig.children(CHILD).await;
    autoscaled(&rig, true).await;
    // The status follows the children.
    rig.condition("chat", "Ready", "False").await;
    let status = rig.api::<BedrockAccess>().get("chat").await.unwrap().status;
    let conditions = status.unwrap().conditions;
    assert!(
        conditions
            .iter()
            .all(|condition| condition.type_ != "Accepted"),
        "without policies there is nothing to say"
    );

    let europe = json!({"namespaces": {"names": ["team-*"]}, "regions": ["eu-*"]});
    put(&rig, "europe", &europe).await.unwrap();
    let (reason, message) = rig.condition("chat", "Accepted", "False").await;
    assert_eq!(reason, "NotAllowed");
    assert!(
        message.contains(
            "Policy europe: spec.region: us-east-1 is not allowed (allowed by regions: eu-*)"
        ),
        "{message}"
    );
    assert_eq!(
        rig.condition("chat", "Ready", "False").await.0,
        "NotAllowed"
    );
    assert_eq!(
        rig.condition("chat", "Stalled", "True").await.0,
        "NotAllowed"
    );
    stands(&rig, false, 0).await;
    autoscaled(&rig, false).await;
    let config = rig.api::<ConfigMap>().get(CHILD).await.unwrap();
    for (key, text) in config.data.unwrap() {
        let document = GatewayConfig::from_yaml(&text).unwrap();
        assert!(document.revoked.is_some(), "{key} still serves");
        assert!(document.models.is_empty(), "{key} still serves");
    }

    // Scaling it up by hand does not bring a gateway back either.
    rig.api::<Deployment>()
        .patch(
            CHILD,
            &PatchParams::default(),
            &Patch::Merge(&json!({"spec": {"replicas": 3}})),
        )
        .await
        .unwrap();
    stands(&rig, false, 0).await;

    let team = json!({
        "namespaces": {"names": [TEAM]},
        "roleArns": ["arn:aws:iam::123456789012:role/Bedrock*"],
        "regions": ["us-east-1"],
        "models": ["us.amazon.*"],
        "identities": ["irsa"],
        "requireClientAuthentication": true,
    });
    put(&rig, "team", &team).await.unwrap();
    let (reason, message) = rig.condition("chat", "Accepted", "True").await;
    assert_eq!(
        (reason.as_str(), message.contains("team")),
        ("Allowed", true)
    );
    stands(&rig, true, 2).await;
    autoscaled(&rig, true).await;

    remove(&rig, "team").await;
    rig.condition("chat", "Accepted", "False").await;
    stands(&rig, false, 0).await;
    remove(&rig, "europe").await;
    stands(&rig, true, 2).await;

    let told = rig
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let denials = told
        .items
        .iter()
        .filter(|event| event.reason.as_deref() == Some("NotAllowed"))
        .count();
    assert_eq!(denials, 2, "one Event for each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_applies_while_a_namespace_has_its_label() {
    let rig = Rig::start().await;
    let gold = json!({"namespaces": {"selector": {"matchLabels": {"tier": "gold"}}}});
    put(&rig, "gold", &gold).await.unwrap();
    rig.apply("chat", &sample_spec()).await.unwrap();
    let (_, message) = rig.condition("chat", "Accepted", "False").await;
    assert!(
        message.contains("no BedrockAccessPolicy applies to namespace team-a"),
        "{message}"
    );
    stands(&rig, false, 0).await;

    label(&rig, &json!({"tier": "gold"})).await;
    rig.condition("chat", "Accepted", "True").await;
    stands(&rig, true, 2).await;

    label(&rig, &json!({"tier": null})).await;
    rig.condition("chat", "Accepted", "False").await;
    stands(&rig, false, 0).await;

    // An empty selector matches no namespace, not all of them.
    put(
        &rig,
        "no-namespace",
        &json!({"namespaces": {"selector": {}}}),
    )
    .await
    .unwrap();
    put(
        &rig,
        "everybody",
        &json!({"namespaces": {"names": ["other-*"]}}),
    )
    .await
    .unwrap();
    rig.condition("chat", "Accepted", "False").await;
    put(&rig, "everybody", &json!({"namespaces": {"names": ["*"]}}))
        .await
        .unwrap();
    rig.condition("chat", "Accepted", "True").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ceiling_has_to_be_kept_to() {
    let rig = Rig::start().await;
    let ceiling = json!({"namespaces": {"names": ["*"]}, "limits": {"requestsPerMinute": 100}});
    put(&rig, "modest", &ceiling).await.unwrap();
    rig.apply("chat", &sample_spec()).await.unwrap();
    let (_, message) = rig.condition("chat", "Accepted", "False").await;
    assert!(
        message.contains("spec.limits.requestsPerMinute"),
        "{message}"
    );
    stands(&rig, false, 0).await;
    let mut spec = sample_spec();
    spec["limits"] = json!({"requestsPerMinute": 100});
    rig.apply("chat", &spec).await.unwrap();
    rig.condition("chat", "Accepted", "True").await;
    stands(&rig, true, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_that_requires_a_policy_allows_nothing_without_one() {
    let mut rig = Rig::without_operator().await;
    rig.start_operator_with(Settings {
        require_policy: true,
        ..Settings::default()
    })
    .await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    let (_, message) = rig.condition("chat", "Accepted", "False").await;
    assert!(message.contains("--require-policy"), "{message}");
    stands(&rig, false, 0).await;
    put(&rig, "all", &json!({"namespaces": {"names": ["*"]}}))
        .await
        .unwrap();
    rig.condition("chat", "Accepted", "True").await;
    stands(&rig, true, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn policy_that_breaks_a_rule_is_refused_with_a_message_for_people() {
    let rig = Rig::without_operator().await;
    let with = |rule: &str, value: Value| json!({"namespaces": {"names": ["a"]}, rule: value});
    let selects =
        |expression: Value| json!({"namespaces": {"selector": {"matchExpressions": [expression]}}});
    let rows = [
        ("no namespaces", json!({}), "spec.namespaces"),
        (
            "namespaces of nothing",
            json!({"namespaces": {}}),
            "set at least one of names and selector",
        ),
        (
            "name that is none",
            json!({"namespaces": {"names": ["Team A"]}}),
            "must be names of namespaces",
        ),
        ("no name", json!({"namespaces": {"names": []}}), "names"),
        (
            "operator that is none",
            selects(json!({"key": "tier", "operator": "Equals", "values": ["gold"]})),
            "In or NotIn with values",
        ),
        (
            "operator without its values",
            selects(json!({"key": "tier", "operator": "In"})),
            "In or NotIn with values",
        ),
        (
            "values for an operator that takes none",
            selects(json!({"key": "tier", "operator": "Exists", "values": ["gold"]})),
            "In or NotIn with values",
        ),
        (
            "role that is none",
            with("roleArns", json!(["arn:aws:iam::123456789012:user/me"])),
            "must be ARNs of IAM roles",
        ),
        (
            "role by its name",
            with("roleArns", json!(["BedrockRole"])),
            "must be ARNs of IAM roles",
        ),
        ("no role", with("roleArns", json!([])), "roleArns"),
        (
            "role twice",
            with("roleArns", json!(["*", "*"])),
            "duplicate entries",
        ),
        (
            "region that is none",
            with("regions", json!(["Virginia"])),
            "must be AWS regions",
        ),
        (
            "model with a blank",
            with("models", json!(["anthropic claude"])),
            "must be model ids",
        ),
        (
            "identity that is none",
            with("identities", json!(["oauth"])),
            "Unsupported value",
        ),
        (
            "image twice",
            with("images", json!(["a/*", "a/*"])),
            "duplicate entries",
        ),
        ("no Secret", with("secrets", json!([])), "secrets"),
        (
            "empty toleration",
            with("tolerations", json!([""])),
            "tolerations",
        ),
        (
            "limit that is no word",
            with("requireClientAuthentication", json!("yes")),
            "boolean",
        ),
    ];
    for (case, spec, expected) in rows {
        let error = put(&rig, "p", &spec).await.expect_err(case).to_string();
        assert!(
            error.contains(expected),
            "{case}: expected {expected:?} in: {error}"
        );
    }
    let all = json!({
        "namespaces": {"names": ["*"], "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "tier", "operator": "NotIn", "values": ["gold"]}, {"key": "owner", "operator": "Exists"},
        ]}},
        "roleArns": ["*", "arn:aws-us-gov:iam::123456789012:role/a/b-*", "arn:aws:iam::*:role/x"],
        "regions": ["*", "eu-*", "us-east-1"],
        "models": ["*", "us.anthropic.*", "arn:aws:bedrock:us-east-1::foundation-model/a.b-v1:0"],
        "identities": ["irsa", "podIdentity", "secret", "ambient"],
        "requireClientAuthentication": true,
        "images": ["registry.example/*"],
        "endpoints": ["https://bedrock.internal/*", "redis://valkey.*.svc:6379"],
        "audiences": ["*"],
        "serviceAccounts": ["bedrock-*"],
        "secrets": ["bedrock-*"],
        "priorityClassNames": ["low"],
        "tolerations": ["dedicated=bedrock:*"],
        "topologyKeys": ["kubernetes.io/hostname"],
        "metadata": ["team=*"],
    });
    put(&rig, "p", &all).await.expect("all of it is accepted");
    let unseen = json!({
        "namespaces": {"names": ["*"]},
        "roleArns": ["arn:aws:iam::123456789012:role/assumed-*"],
        "identities": ["podIdentity"],
    });
    put(&rig, "q", &unseen)
        .await
        .expect("roles that are assumed on top");
}
