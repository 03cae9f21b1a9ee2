//! `spec.suspend`: no managed object is created, changed or removed.

use super::*;

/// The object with a status and another spec.
fn changed(before: &BedrockAccess, more: &str) -> BedrockAccess {
    let mut access = fixtures::access(more);
    access.status.clone_from(&before.status);
    access.metadata.resource_version = Some("72".to_owned());
    access
}

#[tokio::test]
async fn suspended_object_keeps_its_objects_whatever_the_spec_says_and_resumes_at_once() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let before = with_status(&world.api.requests());
    world.catch_up();

    let spec = "{suspend: true, commonLabels: {team: a}, gateway: {replicas: 5}, serviceAccount: {name: other}}";
    let access = changed(&before, spec);
    world.reconcile(access.clone()).await.unwrap();
    let requests = world.api.requests();
    let told = events(&requests);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0].0, "Suspended");
    let suspended = with_status(&requests);
    let writes: Vec<_> = requests
        .iter()
        .filter(|request| request.method != Method::GET && !request.path.contains("events"))
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(writes, [STATUS]);

    // A second reconcile writes nothing at all.
    let again = changed(&suspended, spec);
    world.reconcile(again).await.unwrap();
    assert_eq!(world.api.requests().len(), 0);

    let resumed = changed(&suspended, "gateway: {replicas: 5}");
    world.reconcile(resumed).await.unwrap();
    assert_eq!(
        world.api.writes(),
        [format!("PATCH {DEPLOYMENT}"), format!("PATCH {STATUS}")]
    );
}

#[tokio::test]
async fn suspended_object_does_not_restore_what_others_change_or_delete() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let before = with_status(&world.api.requests());
    world.catch_up();
    world.api.remove(SERVICE);
    world.caches_forget(OwnedKind::Service, SERVICE);
    let access = changed(&before, "suspend: true");
    world.reconcile(access).await.unwrap();
    assert_eq!(world.api.writes(), [format!("PATCH {STATUS}")]);
    assert_eq!(world.api.object(SERVICE), None);
}

#[tokio::test]
async fn object_that_is_created_suspended_gets_no_objects() {
    let world = World::new();
    world
        .reconcile(fixtures::access("suspend: true"))
        .await
        .unwrap();
    assert_eq!(world.api.writes(), [format!("PATCH {STATUS}")]);
}

#[tokio::test]
async fn policy_that_denies_a_suspended_object_revokes_it() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let before = with_status(&world.api.requests());
    world.catch_up();
    world
        .policies
        .put("europe", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
    let access = changed(&before, "suspend: true");
    let error = world.reconcile(access).await.unwrap_err();
    assert_eq!(error.reason(), "NotAllowed");
    let writes = world.api.writes();
    for path in [ACCOUNT, CONFIG, DEPLOYMENT] {
        assert!(writes.contains(&format!("PATCH {path}")), "{writes:?}");
    }
}

#[tokio::test]
async fn policy_that_denies_the_running_configuration_of_a_suspended_object_revokes_it() {
    for (rule, spec) in [
        (
            "models: [amazon.*]",
            "{suspend: true, models: [{name: fast, modelId: amazon.nova-lite-v1:0}]}",
        ),
        ("regions: [eu-*]", "{suspend: true, region: eu-central-1}"),
        (
            "roleArns: ['*:role/team-a-*']",
            "{suspend: true, identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/team-a-chat'}}}",
        ),
        (
            "identities: [podIdentity]",
            "{suspend: true, identity: {podIdentity: {}}}",
        ),
        ("endpoints: ['https://new.example']", "suspend: true"),
        (
            "images: [new.example/*]",
            "{suspend: true, gateway: {image: 'new.example/image:1'}}",
        ),
        ("priorityClassNames: [new]", "suspend: true"),
        ("audiences: [new]", "suspend: true"),
    ] {
        let mut world = World::new();
        let runs = "{endpoints: {bedrock: 'https://old.example'}, gateway: {image: 'old.example/image:1', priorityClassName: old}, identity: {irsa: {roleArn: 'arn:aws:iam::123456789012:role/BedrockRole', audience: old}}}";
        world.reconcile(fixtures::access(runs)).await.unwrap();
        let before = with_status(&world.api.requests());
        world.catch_up();
        world.policies.put(
            "strict",
            &format!("{{namespaces: {{names: [team-a]}}, {rule}}}"),
        );
        // The policy allows the new spec and not what runs.
        let error = world.reconcile(changed(&before, spec)).await.unwrap_err();
        assert_eq!(error.reason(), "NotAllowed", "{rule}");
        let writes = world.api.writes();
        assert!(
            writes.contains(&format!("PATCH {CONFIG}")),
            "{rule}: {writes:?}"
        );
        // What is revoked serves nothing, so the suspension continues without further writes to it.
        world.catch_up();
        world.reconcile(changed(&before, spec)).await.unwrap();
        assert_eq!(world.api.writes(), [format!("PATCH {STATUS}")], "{rule}");
    }
}

#[tokio::test]
async fn default_of_the_platform_needs_no_rule_while_suspended() {
    let mut world = World::new();
    let context = Arc::get_mut(&mut world.context).unwrap();
    context.settings.gateway_defaults.priority_class_name = Some("platform".to_owned());
    world.reconcile(fixtures::access("")).await.unwrap();
    let before = with_status(&world.api.requests());
    world.catch_up();
    let class = "/spec/template/spec/priorityClassName";
    let deployment = world.api.object(DEPLOYMENT).unwrap();
    assert_eq!(deployment.pointer(class).unwrap(), "platform");
    let policy = "{namespaces: {names: [team-a]}, priorityClassNames: [other]}";
    world.policies.put("strict", policy);
    world.reconcile(before.clone()).await.unwrap();
    let suspended = changed(&before, "suspend: true");
    world.reconcile(suspended).await.unwrap();
    assert_eq!(world.api.object(DEPLOYMENT), Some(deployment));
}

#[tokio::test]
async fn policy_that_allows_the_running_configuration_leaves_a_suspended_object_alone() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let before = with_status(&world.api.requests());
    world.catch_up();
    world.policies.put(
        "team",
        "{namespaces: {names: [team-a]}, regions: [us-*], models: ['us.amazon.*'], roleArns: ['*:role/BedrockRole'], requireClientAuthentication: true}",
    );
    let access = changed(&before, "suspend: true");
    world.reconcile(access).await.unwrap();
    assert_eq!(world.api.writes(), [format!("PATCH {STATUS}")]);
}
