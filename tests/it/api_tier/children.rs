//! The children that depend on what is asked for: made, handed over, put right, removed.

use k8s_openapi::api::{
    apps::v1::Deployment, autoscaling::v2::HorizontalPodAutoscaler, events::v1::Event,
    networking::v1::NetworkPolicy, policy::v1::PodDisruptionBudget,
};
use kube::{
    Api, Resource,
    api::{ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::rig::{Rig, TEAM, sample_spec};
use crate::support::eventually;

const CHILD: &str = "chat-gateway";

fn with_gateway(gateway: &Value) -> Value {
    let mut spec = sample_spec();
    spec["gateway"] = gateway.clone();
    spec
}

/// Waits for a child to be there, or not to be.
async fn present<K>(rig: &Rig, wanted: bool) -> Option<K>
where
    K: Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let api = rig.api::<K>();
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    eventually(&format!("{kind} is there: {wanted}"), || async {
        let found = api
            .get_opt(CHILD)
            .await
            .map_err(|error| error.to_string())?;
        if found.is_some() == wanted {
            Ok(found)
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await
}

async fn replicas(rig: &Rig) -> Option<i32> {
    let deployment = rig.api::<Deployment>().get(CHILD).await.unwrap();
    deployment.spec.unwrap().replicas
}

#[tokio::test(flavor = "multi_thread")]
async fn autoscaler_takes_over_the_number_of_pods_without_a_dip_and_gives_it_back() {
    let rig = Rig::shared("autoscaler").await;
    rig.apply("chat", &with_gateway(&json!({"replicas": 3})))
        .await
        .unwrap();
    rig.children(CHILD).await;
    assert_eq!(replicas(&rig).await, Some(3));
    present::<PodDisruptionBudget>(&rig, true).await;
    let generation = |deployment: Deployment| deployment.metadata.generation;
    let before = generation(rig.api::<Deployment>().get(CHILD).await.unwrap());

    let auto = json!({"autoscaling": {"minReplicas": 2, "maxReplicas": 5}});
    rig.apply("chat", &with_gateway(&auto)).await.unwrap();
    present::<HorizontalPodAutoscaler>(&rig, true).await;
    let after = rig.api::<Deployment>().get(CHILD).await.unwrap();
    assert_eq!(after.spec.as_ref().unwrap().replicas, Some(3));
    assert_eq!(generation(after), before, "the spec was never another");

    rig.apply("chat", &with_gateway(&json!({"replicas": 1})))
        .await
        .unwrap();
    present::<HorizontalPodAutoscaler>(&rig, false).await;
    present::<PodDisruptionBudget>(&rig, false).await;
    assert_eq!(replicas(&rig).await, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn network_policy_opened_by_hand_is_closed_again_and_an_event_names_who_did_it() {
    let rig = Rig::shared("network-policy").await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    let policy: NetworkPolicy = present(&rig, true).await.unwrap();
    rig.children(CHILD).await;

    let opened = json!({"spec": {"ingress": [{}]}});
    let parameters = PatchParams {
        field_manager: Some("a-person".to_owned()),
        ..PatchParams::default()
    };
    rig.api::<NetworkPolicy>()
        .patch(CHILD, &parameters, &Patch::Merge(&opened))
        .await
        .unwrap();
    eventually("the policy is as it was", || async {
        let now = rig
            .api::<NetworkPolicy>()
            .get(CHILD)
            .await
            .map_err(|error| error.to_string())?;
        if now.spec == policy.spec {
            Ok(())
        } else {
            Err(format!("{:?}", now.spec))
        }
    })
    .await;
    eventually("an Event tells", || async {
        let events = rig
            .api::<Event>()
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let notes: Vec<String> = events
            .items
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("DriftCorrected"))
            .filter_map(|event| event.note)
            .collect();
        let told = notes.iter().any(|note| {
            note.contains("NetworkPolicy chat-gateway")
                && note.contains("spec.ingress")
                && note.contains("a-person")
        });
        if told {
            Ok(())
        } else {
            Err(format!("{notes:?}"))
        }
    })
    .await;

    let off = json!({"networkPolicy": {"enabled": false}});
    rig.apply("chat", &with_gateway(&off)).await.unwrap();
    present::<NetworkPolicy>(&rig, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_monitor_is_made_once_the_cluster_serves_it_and_removed_with_the_wish() {
    let rig = Rig::start().await;
    let wanted = json!({"podMonitor": {"labels": {"release": "prometheus"}}});
    rig.apply("chat", &with_gateway(&wanted)).await.unwrap();
    let (reason, message) = rig.condition("chat", "Monitored", "False").await;
    assert_eq!(reason, "ApiNotServed");
    assert!(message.contains("spec.gateway.podMonitor"), "{message}");
    rig.children(CHILD).await;

    rig.serve_pod_monitors().await;
    rig.condition("chat", "Monitored", "True").await;
    let kind = GroupVersionKind::gvk("monitoring.coreos.com", "v1", "PodMonitor");
    let resource = ApiResource::from_gvk(&kind);
    let monitors: Api<DynamicObject> = Api::namespaced_with(rig.client.clone(), TEAM, &resource);
    let monitor = monitors.get(CHILD).await.unwrap();
    assert_eq!(monitor.metadata.labels.unwrap()["release"], "prometheus");

    rig.apply("chat", &sample_spec()).await.unwrap();
    eventually("the PodMonitor is gone", || async {
        match monitors.get_opt(CHILD).await {
            Ok(None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}
