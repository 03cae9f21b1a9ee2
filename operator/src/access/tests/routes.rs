//! `spec.gateway.httpRoute`: the optional objects of the Gateway API and what is reported about them.

use super::*;

const ROUTE: &str = "/apis/gateway.networking.k8s.io/v1/namespaces/team-a/httproutes/chat-gateway";
const POLICY: &str =
    "/apis/gateway.networking.k8s.io/v1/namespaces/team-a/backendtlspolicies/chat-gateway";
const SPEC: &str = "gateway: {tls: {}, httpRoute: {parentRefs: [{name: shared}]}}";

/// Status, reason and message of `Routed` in the last written status.
fn routed(world: &World) -> (String, String, String) {
    let status = with_status(&world.api.requests()).status.unwrap();
    let routed = status::find(&status, condition::ROUTED).unwrap().clone();
    (routed.status, routed.reason, routed.message)
}

fn serve(world: &World, kind: OwnedKind) {
    world.caches.served.send_modify(|kinds| {
        kinds.insert(kind);
    });
}

#[tokio::test]
async fn missing_kinds_are_reported_one_by_one() {
    let world = World::new();
    world.reconcile(fixtures::access(SPEC)).await.unwrap();
    let (status, reason, message) = routed(&world);
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "ApiNotServed")
    );
    assert!(message.contains("HTTPRoute"), "{message}");
    serve(&world, OwnedKind::HttpRoute);
    world.reconcile(fixtures::access(SPEC)).await.unwrap();
    let (_, reason, message) = routed(&world);
    assert_eq!(reason, "ApiNotServed");
    assert!(message.contains("BackendTLSPolicy"), "{message}");
    assert!(world.api.object(ROUTE).is_some());
    serve(&world, OwnedKind::BackendTlsPolicy);
    world.reconcile(fixtures::access(SPEC)).await.unwrap();
    let (status, reason, message) = routed(&world);
    assert_eq!((status.as_str(), reason.as_str()), ("Unknown", "Pending"));
    assert_eq!(
        message,
        "Waiting for Gateway team-a/shared to accept the HTTPRoute."
    );
    assert!(world.api.object(POLICY).is_some());
}

#[tokio::test]
async fn each_refusal_of_a_gateway_is_repeated() {
    let mut world = World::new();
    serve(&world, OwnedKind::HttpRoute);
    serve(&world, OwnedKind::BackendTlsPolicy);
    world.reconcile(fixtures::access(SPEC)).await.unwrap();
    let condition = |type_: &str, status: &str, reason: &str| json!({"type": type_, "status": status, "reason": reason, "message": "m\nn"});
    let parent = |conditions: Value| json!({"parents": [{"parentRef": {"name": "shared"}, "conditions": conditions}]});
    let accepted = condition("Accepted", "True", "Accepted");
    for (conditions, status, reason) in [
        (json!([]), "Unknown", "Pending"),
        (
            json!([
                accepted,
                condition("ResolvedRefs", "False", "BackendNotFound")
            ]),
            "False",
            "BackendNotFound",
        ),
        (
            json!([condition("Accepted", "False", "not a reason")]),
            "False",
            "NotAccepted",
        ),
        (json!([accepted]), "True", "Ready"),
    ] {
        let mut route = world.api.object(ROUTE).unwrap();
        route["status"] = parent(conditions.clone());
        world.caches.put(OwnedKind::HttpRoute, route);
        world.reconcile(fixtures::access(SPEC)).await.unwrap();
        let (now, why, message) = routed(&world);
        assert_eq!(
            (now.as_str(), why.as_str()),
            (status, reason),
            "{conditions}: {message}"
        );
        assert!(!message.contains('\n'), "{message}");
    }
    let mut policy = world.api.object(POLICY).unwrap();
    policy["status"] = json!({"ancestors": [{"conditions": [condition("Accepted", "False", "NoValidCACertificate")]}]});
    world.caches.put(OwnedKind::BackendTlsPolicy, policy);
    world.reconcile(fixtures::access(SPEC)).await.unwrap();
    let (_, reason, message) = routed(&world);
    assert_eq!(reason, "NoValidCACertificate");
    assert!(message.starts_with("BackendTLSPolicy: "), "{message}");
}

#[tokio::test]
async fn denied_object_loses_its_route() {
    let mut world = World::new();
    serve(&world, OwnedKind::HttpRoute);
    world.reconcile(fixtures::access(SPEC)).await.unwrap();
    world.catch_up();
    world
        .caches
        .put(OwnedKind::HttpRoute, world.api.object(ROUTE).unwrap());
    world.policies.put(
        "hosts",
        "{namespaces: {names: ['*']}, hostnames: ['*.example.com']}",
    );
    let error = world.reconcile(fixtures::access(SPEC)).await.unwrap_err();
    assert_eq!(error.reason(), "NotAllowed", "{}", error.explain());
    assert!(
        error
            .explain()
            .contains("spec.gateway.httpRoute.hostnames: *"),
        "{}",
        error.explain()
    );
    let (status, reason, _) = routed(&world);
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NotAllowed"));
    assert_eq!(world.api.object(ROUTE), None);
}
