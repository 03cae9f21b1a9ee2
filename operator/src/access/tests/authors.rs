//! Complete reconciles of objects with restricted values: a reconcile does not know their author.

use super::*;

const IMAGE: &str = "gateway: {image: 'attacker.example/image:1'}";

fn without_webhook() -> World {
    let mut world = World::new();
    world.policies = PolicyCaches::without_webhook();
    let context = Arc::get_mut(&mut world.context).unwrap();
    context.policies = world.policies.policies.clone();
    world
}

fn with_webhook() -> World {
    World::new()
}

fn image(world: &World) -> Option<String> {
    let deployment = world.api.object(DEPLOYMENT)?;
    let scaled = deployment.pointer("/spec/replicas")? != 0;
    let image = deployment.pointer("/spec/template/spec/containers/0/image")?;
    scaled.then(|| image.as_str().unwrap_or_default().to_owned())
}

fn accepted(access: &BedrockAccess) -> Option<(String, String, String)> {
    let found = status::find(access.status.as_ref()?, "Accepted")?;
    Some((
        found.status.clone(),
        found.reason.clone(),
        found.message.clone(),
    ))
}

/// The object after its reconcile, with another spec if `more` differs; `generation` counts specs.
fn next(requests: &[fixtures::RecordedRequest], more: &str, generation: i64) -> BedrockAccess {
    let mut access = fixtures::access(more);
    access.status = with_status(requests).status;
    access.metadata.resource_version = Some(format!("7{generation}"));
    access.metadata.generation = Some(generation);
    access
}

#[tokio::test]
async fn without_the_webhook_a_restricted_value_needs_a_rule_and_the_condition_says_so() {
    let mut world = without_webhook();
    let error = world.reconcile(fixtures::access(IMAGE)).await.unwrap_err();
    assert_eq!(error.reason(), "AuthorNotVerified");
    assert_eq!(image(&world), None, "scaled to zero");
    let requests = world.api.requests();
    let told = events(&requests);
    assert!(
        told.iter().any(|(reason, _)| reason == "AuthorNotVerified"),
        "{told:?}"
    );
    let access = next(&requests, IMAGE, 3);
    let (state, reason, message) = accepted(&access).unwrap();
    assert_eq!(
        (state.as_str(), reason.as_str()),
        ("False", "AuthorNotVerified")
    );
    for words in [
        "spec.gateway.image: attacker.example/image:1",
        "create deployments or pods",
        "rule images",
        "namespace team-a",
        "admission.enabled",
    ] {
        assert!(message.contains(words), "{words} is missing in {message}");
    }
    world.catch_up();
    world.reconcile(access.clone()).await.unwrap_err();
    assert_eq!(image(&world), None, "the second reconcile changes nothing");

    world.policies.put(
        "p",
        "{namespaces: {names: [team-a]}, images: ['attacker.example/*']}",
    );
    world.catch_up();
    world.reconcile(access).await.unwrap();
    assert_eq!(image(&world).as_deref(), Some("attacker.example/image:1"));
}

#[tokio::test]
async fn values_that_an_earlier_operator_accepted_stay_until_the_spec_changes() {
    let mut world = with_webhook();
    world.reconcile(fixtures::access(IMAGE)).await.unwrap();
    let earlier = next(&world.api.requests(), IMAGE, 3);
    assert_eq!(accepted(&earlier), None);

    world.policies = PolicyCaches::without_webhook();
    Arc::get_mut(&mut world.context).unwrap().policies = world.policies.policies.clone();
    world.catch_up();
    world.reconcile(earlier).await.unwrap();
    let requests = world.api.requests();
    let access = next(&requests, IMAGE, 3);
    let (state, reason, message) = accepted(&access).unwrap();
    assert_eq!(
        (state.as_str(), reason.as_str()),
        ("True", "AcceptedEarlier")
    );
    assert!(message.contains("spec.gateway.image"), "{message}");
    world.catch_up();
    world.reconcile(access).await.unwrap();
    assert_eq!(image(&world).as_deref(), Some("attacker.example/image:1"));

    let changed = next(&requests, &format!("{IMAGE}\nallow: ['amazon.*']"), 4);
    let error = world.reconcile(changed).await.unwrap_err();
    assert_eq!(error.reason(), "AuthorNotVerified");
    assert_eq!(image(&world), None);
}

#[tokio::test]
async fn enabling_the_webhook_does_not_accept_a_spec_that_it_has_not_seen() {
    let mut world = without_webhook();
    // A policy denies the object as well, and stops doing so later.
    world
        .policies
        .put("p", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
    world.reconcile(fixtures::access(IMAGE)).await.unwrap_err();
    let access = next(&world.api.requests(), IMAGE, 3);
    let (_, reason, message) = accepted(&access).unwrap();
    assert_eq!(reason, "AuthorNotVerified");
    assert!(message.contains("spec.region"), "{message}");

    world.policies = PolicyCaches::new(false);
    Arc::get_mut(&mut world.context).unwrap().policies = world.policies.policies.clone();
    world.catch_up();
    let error = world.reconcile(access.clone()).await.unwrap_err();
    assert_eq!(error.reason(), "AuthorNotVerified");
    assert_eq!(image(&world), None);

    // The webhook has verified the next change of the spec.
    let mut changed = access;
    changed.metadata.generation = Some(4);
    world.catch_up();
    world.reconcile(changed).await.unwrap();
    assert_eq!(image(&world).as_deref(), Some("attacker.example/image:1"));
}

#[tokio::test]
async fn revocation_by_a_policy_does_not_make_the_author_unknown() {
    for mut world in [with_webhook(), without_webhook()] {
        let rules =
            "{namespaces: {names: [team-a]}, regions: [us-*], images: ['attacker.example/*']}";
        world.policies.put("all", rules);
        world.reconcile(fixtures::access(IMAGE)).await.unwrap();
        let allowed = next(&world.api.requests(), IMAGE, 3);
        world.policies.remove("all");
        world
            .policies
            .put("p", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
        let mut access = allowed;
        for _ in 0..2 {
            world.catch_up();
            let error = world.reconcile(access.clone()).await.unwrap_err();
            assert_eq!(error.reason(), "NotAllowed");
            let requests = world.api.requests();
            if requests.iter().any(|request| request.path == STATUS) {
                access = next(&requests, IMAGE, 3);
            }
        }
        world.policies.remove("p");
        world.policies.put("all", rules);
        world.catch_up();
        world.reconcile(access).await.unwrap();
        assert_eq!(image(&world).as_deref(), Some("attacker.example/image:1"));
    }
}

#[tokio::test]
async fn default_values_are_accepted_without_the_webhook() {
    let world = without_webhook();
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.requests());
    assert_eq!(accepted(&access), None);
}
