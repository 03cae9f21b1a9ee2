//! An operator that works in some namespaces, with the roles that the chart gives it then.

use api::v1alpha1::{BedrockAccess, policy::BedrockAccessPolicy};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use operator::Settings;
use serde_json::json;

use super::rig::{Rig, TEAM, sample_spec};
use crate::support::eventually;

const ALSO: &str = "team-b";
const OTHER: &str = "team-c";

async fn apply(rig: &Rig, namespace: &str) {
    let object = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccess",
        "metadata": {"name": "chat"},
        "spec": sample_spec(),
    });
    Api::<BedrockAccess>::namespaced(rig.client.clone(), namespace)
        .patch(
            "chat",
            &PatchParams::apply("integration-test").force(),
            &Patch::Apply(&object),
        )
        .await
        .unwrap();
}

async fn config_is_there(rig: &Rig, namespace: &str) {
    let configs = Api::<ConfigMap>::namespaced(rig.client.clone(), namespace);
    eventually(&format!("the children in {namespace}"), || async {
        match configs.get_opt("chat-gateway").await {
            Ok(Some(_)) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operator_for_some_namespaces_asks_for_no_others_and_needs_no_more_than_its_roles() {
    let mut rig = Rig::without_operator_with(
        &[ALSO, OTHER],
        &["--set", "watchNamespaces={team-a,team-b}"],
    )
    .await;
    for namespace in [TEAM, OTHER] {
        apply(&rig, namespace).await;
    }
    rig.start_operator_with(Settings {
        namespaces: vec![TEAM.to_owned(), ALSO.to_owned()],
        ..Settings::default()
    })
    .await;
    config_is_there(&rig, TEAM).await;
    // One that comes later, in a namespace of its own.
    apply(&rig, ALSO).await;
    config_is_there(&rig, ALSO).await;
    for namespace in [TEAM, ALSO] {
        Api::<ConfigMap>::namespaced(rig.client.clone(), namespace)
            .delete("chat-gateway", &DeleteParams::default())
            .await
            .unwrap();
        config_is_there(&rig, namespace).await;
    }

    // Policies and labels reach them all the same.
    let policy = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccessPolicy",
        "metadata": {"name": "gold"},
        "spec": {"namespaces": {"selector": {"matchLabels": {"tier": "gold"}}}},
    });
    let policy = serde_json::from_value(policy).unwrap();
    Api::<BedrockAccessPolicy>::all(rig.client.clone())
        .create(&PostParams::default(), &policy)
        .await
        .unwrap();
    rig.condition("chat", "Accepted", "False").await;
    Api::<Namespace>::all(rig.client.clone())
        .patch(
            TEAM,
            &PatchParams::default(),
            &Patch::Merge(&json!({"metadata": {"labels": {"tier": "gold"}}})),
        )
        .await
        .unwrap();
    rig.condition("chat", "Accepted", "True").await;

    let untouched = Api::<BedrockAccess>::namespaced(rig.client.clone(), OTHER)
        .get("chat")
        .await
        .unwrap();
    assert_eq!(untouched.status, None);
    let requests = rig.operator_requests();
    assert!(requests.len() > 20, "{requests:?}");
    for request in requests {
        let everywhere = ["namespaces", "bedrockaccesspolicies"];
        let is_path = request.resource.is_empty();
        assert!(
            is_path
                || everywhere.contains(&request.resource.as_str())
                || [TEAM, ALSO].contains(&request.namespace.as_str()),
            "asked beyond its namespaces: {request:?}"
        );
        assert_ne!(request.code, 403, "{request:?}");
        assert!(
            request.resource != "namespaces" || request.uri.contains("metadata.name"),
            "{request:?}"
        );
    }
}
