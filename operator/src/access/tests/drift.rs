//! Owned objects that others changed or deleted are restored.

use super::*;

#[tokio::test]
async fn annotation_changed_by_another_field_manager_is_restored_and_reported() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.requests());
    world.catch_up();
    let mut account = world.api.object(ACCOUNT).unwrap();
    let role = "eks.amazonaws.com/role-arn";
    account["metadata"]["annotations"][role] = json!("arn:aws:iam::666666666666:role/Other");
    account["metadata"]["resourceVersion"] = json!("900");
    let managed = account["metadata"]["managedFields"].as_array_mut().unwrap();
    let ours = &mut managed[0]["fieldsV1"]["f:metadata"]["f:annotations"];
    ours.as_object_mut()
        .unwrap()
        .shift_remove(&format!("f:{role}"));
    managed.push(
        json!({"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z"}),
    );
    world.caches.put(OwnedKind::ServiceAccount, account);
    world.reconcile(access).await.unwrap();
    let requests = world.api.requests();
    let patched: Vec<_> = requests
        .iter()
        .filter(|request| request.method == Method::PATCH)
        .collect();
    assert_eq!(patched.len(), 1, "{patched:?}");
    assert_eq!(
        patched[0].body["metadata"]["annotations"][role],
        "arn:aws:iam::123456789012:role/BedrockRole"
    );
    assert_eq!(
        events(&requests),
        [(
            "DriftCorrected".to_owned(),
            format!(
                "ServiceAccount chat-gateway: restored metadata.annotations.{role} after a change by kubectl-edit"
            )
        )]
    );
}

#[tokio::test]
async fn recreated_object_is_reported_by_name() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.requests());
    for (kind, path) in OWNED {
        if let Some(object) = world
            .api
            .object(path)
            .filter(|_| kind != OwnedKind::Service)
        {
            world.caches.put(kind, object);
        }
    }
    world.api.remove(SERVICE);
    world.reconcile(access).await.unwrap();
    let requests = world.api.requests();
    let events: Vec<_> = requests
        .iter()
        .filter(|request| request.path.contains("events.k8s.io"))
        .map(|request| request.body["note"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(events, ["Created Service chat-gateway"]);
}

#[tokio::test]
async fn list_taken_over_by_another_owner_is_restored_even_if_our_items_are_in_it() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.catch_up();
    world.api.requests();
    let mut policy = world.api.object(NETWORK_POLICY).unwrap();
    policy["spec"]["egress"][1]["to"] = json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]);
    let managed = policy["metadata"]["managedFields"].as_array_mut().unwrap();
    let spec = managed[0]["fieldsV1"]["f:spec"].as_object_mut().unwrap();
    spec.shift_remove("f:egress");
    managed.push(
        json!({"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z"}),
    );
    world.caches.put(OwnedKind::NetworkPolicy, policy);
    world.reconcile(fixtures::access("")).await.unwrap();
    let requests = world.api.requests();
    assert!(
        requests
            .iter()
            .any(|request| request.path == NETWORK_POLICY && request.method == Method::PATCH)
    );
    let events = events(&requests);
    assert!(
        events
            .iter()
            .any(|(reason, note)| reason == "DriftCorrected" && note.contains("spec.egress")),
        "{events:?}"
    );
}
