//! Complete reconciles of objects that policies allow or deny.

use api::{GatewayConfig, names};

use super::*;

const ONLY_EUROPE: &str = "{namespaces: {names: [team-a]}, regions: [eu-*]}";
const ALL: &str = "{namespaces: {names: [team-a]}}";
const SCALED: &str = "gateway: {autoscaling: {minReplicas: 2, maxReplicas: 5, targetCPUUtilizationPercentage: 70}}\nsidecar: {serviceAccounts: [{name: app}]}";

fn replicas(world: &World) -> Option<i64> {
    world
        .api
        .object(DEPLOYMENT)?
        .pointer("/spec/replicas")?
        .as_i64()
}

fn role(world: &World) -> Option<String> {
    let account = world.api.object(ACCOUNT)?;
    let role = account["metadata"]["annotations"].get(names::ROLE_ARN_ANNOTATION)?;
    role.as_str().map(ToOwned::to_owned)
}

fn config(world: &World, key: &str) -> GatewayConfig {
    let config = world.api.object(CONFIG).unwrap();
    GatewayConfig::from_yaml(config["data"][key].as_str().unwrap()).unwrap()
}

#[track_caller]
fn condition(access: &BedrockAccess, kind: &str) -> (String, String, String) {
    let status = access.status.as_ref().unwrap();
    let found = status::find(status, kind).unwrap_or_else(|| panic!("no {kind}"));
    (
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    )
}

/// The `BedrockAccess` with the status that was written for it, as the next reconcile reads it.
fn seen(requests: &[fixtures::RecordedRequest], more: &str) -> BedrockAccess {
    let mut access = fixtures::access(more);
    access.status = with_status(requests).status;
    access.metadata.resource_version = Some("71".to_owned());
    access
}

#[tokio::test]
async fn denied_access_is_revoked_reported_once_and_restored_when_allowed() {
    let mut world = World::new();
    let spec = || fixtures::access(SCALED);
    world.reconcile(spec()).await.unwrap();
    let before = world.api.requests();
    world.catch_up();
    assert!(role(&world).is_some());
    assert!(world.api.object(AUTOSCALER).is_some());

    world.policies.put("europe", ONLY_EUROPE);
    let error = world.reconcile(seen(&before, SCALED)).await.unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{error}");
    let requests = world.api.requests();
    assert_eq!(role(&world), None, "the ServiceAccount lost its role");
    assert_eq!(replicas(&world), Some(0));
    assert!(world.api.object(AUTOSCALER).is_none());
    for key in [names::CONFIG_KEY, names::SIDECAR_CONFIG_KEY] {
        let config = config(&world, key);
        assert!(config.models.is_empty() && config.allow.is_empty());
        let why = config.revoked.unwrap();
        assert!(
            why.contains("team-a/chat") && !why.contains("europe"),
            "{why}"
        );
    }
    let events = events(&requests);
    let denied: Vec<_> = events
        .iter()
        .filter(|(reason, _)| reason == "NotAllowed")
        .collect();
    assert_eq!(denied.len(), 1, "{events:?}");
    assert!(denied[0].1.contains("spec.region: us-east-1"), "{denied:?}");
    let access = seen(&requests, SCALED);
    let (state, reason, message) = condition(&access, "Accepted");
    assert_eq!((state.as_str(), reason.as_str()), ("False", "NotAllowed"));
    assert!(message.contains("Policy europe: spec.region"), "{message}");
    assert_eq!(condition(&access, "Ready").1, "NotAllowed");
    assert_eq!(condition(&access, "Stalled").0, "True");
    assert!(
        condition(&access, "GatewayAvailable")
            .2
            .contains("scaled to zero")
    );

    // Nothing more is written while nothing changes; a manual scale-up is reverted.
    world.catch_up();
    world.caches_forget(OwnedKind::HorizontalPodAutoscaler, AUTOSCALER);
    world.caches_forget(OwnedKind::PodDisruptionBudget, BUDGET);
    world.reconcile(access.clone()).await.unwrap_err();
    assert_eq!(world.api.writes(), Vec::<String>::new());
    let mut deployment = world.api.object(DEPLOYMENT).unwrap();
    deployment["spec"]["replicas"] = json!(3);
    world.api.put(DEPLOYMENT, deployment);
    world.catch_up();
    world.reconcile(access.clone()).await.unwrap_err();
    assert_eq!(replicas(&world), Some(0));
    world.api.requests();
    world.catch_up();

    world.policies.put("team", ALL);
    world.reconcile(access).await.unwrap();
    assert!(role(&world).is_some());
    assert!(world.api.object(AUTOSCALER).is_some());
    let handed_over = world
        .api
        .requests()
        .into_iter()
        .find(|request| request.path == DEPLOYMENT && request.query.contains("autoscaling"));
    assert_eq!(
        handed_over.unwrap().body["spec"]["replicas"],
        2,
        "an autoscaler ignores a Deployment that is scaled to zero"
    );
    assert_eq!(config(&world, names::SIDECAR_CONFIG_KEY).revoked, None);
    assert_eq!(config(&world, names::CONFIG_KEY).models.len(), 1);
}

#[tokio::test]
async fn allowed_access_names_its_policy_and_without_policies_the_condition_is_not_set() {
    let mut world = World::new();
    world.policies.put("team", ALL);
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.requests());
    let (state, reason, message) = condition(&access, "Accepted");
    assert_eq!((state.as_str(), reason.as_str()), ("True", "Allowed"));
    assert!(message.contains("team"), "{message}");

    world.policies.remove("team");
    world.catch_up();
    world.reconcile(access).await.unwrap();
    let access = with_status(&world.api.requests());
    assert!(status::find(&access.status.unwrap(), "Accepted").is_none());
}

#[tokio::test]
async fn label_of_the_namespace_selects_its_policy() {
    let mut world = World::new();
    world.policies.put(
        "gold",
        "{namespaces: {selector: {matchLabels: {tier: gold}}}}",
    );
    let error = world.reconcile(fixtures::access("")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no BedrockAccessPolicy applies to namespace team-a"),
        "{error}"
    );
    assert_eq!(replicas(&world), Some(0));
    world.policies.label(&json!({"tier": "gold"}));
    world.catch_up();
    world.reconcile(fixtures::access("")).await.unwrap();
    assert_eq!(replicas(&world), Some(2));
}

#[tokio::test]
async fn denied_access_is_revoked_even_if_a_reference_is_missing() {
    let mut world = World::new();
    let more = "serviceAccount: {create: false, name: theirs}";
    world.policies.put("europe", ONLY_EUROPE);
    let error = world.reconcile(fixtures::access(more)).await.unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{error}");
    assert_eq!(replicas(&world), Some(0));
}

#[tokio::test]
async fn denied_access_with_an_invalid_spec_is_withdrawn() {
    let mut world = World::new();
    world
        .reconcile(fixtures::access(
            "sidecar: {serviceAccounts: [{name: app}]}",
        ))
        .await
        .unwrap();
    world.api.requests();
    world.catch_up();
    world.policies.put("europe", ONLY_EUROPE);
    let wrong = "identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/with blank'}}";
    let error = world.reconcile(fixtures::access(wrong)).await.unwrap_err();
    assert!(matches!(error, Error::Denied(_)), "{error}");
    assert!(world.api.object(DEPLOYMENT).is_none());
    assert!(world.api.object(ACCOUNT).is_none());
    assert!(config(&world, names::SIDECAR_CONFIG_KEY).revoked.is_some());
    let region = config(&world, names::CONFIG_KEY).region;
    assert_eq!(
        region.unwrap().as_str(),
        "us-east-1",
        "a running gateway accepts it"
    );
}
