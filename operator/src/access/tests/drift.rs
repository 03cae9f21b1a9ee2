//! Children that somebody has changed or removed are put right.

use super::*;

#[tokio::test]
async fn annotation_changed_by_somebody_is_put_back_and_told() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.asked());
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
    world.caches.put(ChildKind::ServiceAccount, account);
    world.reconcile(access).await.unwrap();
    let asked = world.api.asked();
    let patched: Vec<_> = asked
        .iter()
        .filter(|asked| asked.method == Method::PATCH)
        .collect();
    assert_eq!(patched.len(), 1, "{patched:?}");
    assert_eq!(
        patched[0].body["metadata"]["annotations"][role],
        "arn:aws:iam::123456789012:role/BedrockRole"
    );
    assert_eq!(
        events(&asked),
        [(
            "DriftCorrected".to_owned(),
            format!(
                "ServiceAccount chat-gateway: metadata.annotations.{role} had been changed by kubectl-edit and was put back"
            )
        )]
    );
}

#[tokio::test]
async fn child_made_again_is_told_as_itself() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.asked());
    for (kind, path) in CHILDREN {
        if let Some(object) = world
            .api
            .object(path)
            .filter(|_| kind != ChildKind::Service)
        {
            world.caches.put(kind, object);
        }
    }
    world.api.remove(SERVICE);
    world.reconcile(access).await.unwrap();
    let asked = world.api.asked();
    let told: Vec<_> = asked
        .iter()
        .filter(|asked| asked.path.contains("events.k8s.io"))
        .map(|asked| asked.body["note"].as_str().unwrap_or_default())
        .collect();
    assert_eq!(told, ["Created Service chat-gateway"]);
}

#[tokio::test]
async fn list_that_somebody_took_over_whole_is_put_back_although_ours_is_in_it() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.catch_up();
    world.api.asked();
    let mut policy = world.api.object(NETWORK_POLICY).unwrap();
    policy["spec"]["egress"][1]["to"] = json!([{"ipBlock": {"cidr": "10.0.0.0/8"}}]);
    let managed = policy["metadata"]["managedFields"].as_array_mut().unwrap();
    let spec = managed[0]["fieldsV1"]["f:spec"].as_object_mut().unwrap();
    spec.shift_remove("f:egress");
    managed.push(
        json!({"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z"}),
    );
    world.caches.put(ChildKind::NetworkPolicy, policy);
    world.reconcile(fixtures::access("")).await.unwrap();
    let asked = world.api.asked();
    assert!(
        asked
            .iter()
            .any(|asked| asked.path == NETWORK_POLICY && asked.method == Method::PATCH)
    );
    let told = events(&asked);
    assert!(
        told.iter()
            .any(|(reason, note)| reason == "DriftCorrected" && note.contains("spec.egress")),
        "{told:?}"
    );
}
