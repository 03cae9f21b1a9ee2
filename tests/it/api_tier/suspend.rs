//! `spec.suspend`: managed objects stay as they are until the user resumes or deletes the object.

use std::time::Duration;

use api::v1alpha1::BedrockAccess;
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Service, events::v1::Event};
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

use super::rig::{Rig, sample_spec};
use crate::support::eventually;

const CHILD: &str = "chat-gateway";

fn suspended() -> Value {
    let mut spec = sample_spec();
    spec["suspend"] = json!(true);
    spec["commonLabels"] = json!({"team": "a"});
    spec["gateway"] = json!({"replicas": 5});
    spec
}

async fn deployment(rig: &Rig) -> Deployment {
    rig.api().get(CHILD).await.unwrap()
}

/// Waits until an object of a kind exists, or does not.
async fn exists<K>(rig: &Rig, expected: bool)
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let kind = K::kind(&K::DynamicType::default()).into_owned();
    eventually(&format!("{kind} exists: {expected}"), || async {
        let found = rig.api::<K>().get_opt(CHILD).await;
        let found = found.map_err(|error| error.to_string())?;
        if found.is_some() == expected {
            Ok(())
        } else {
            Err(format!("{found:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn suspended_object_keeps_serving_unchanged_until_it_is_resumed() {
    let rig = Rig::shared("suspended").await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children(CHILD).await;
    rig.mark_available(CHILD).await;
    rig.condition("chat", "Ready", "True").await;
    let before = deployment(&rig).await;

    rig.apply("chat", &suspended()).await.unwrap();
    let (reason, message) = rig.condition("chat", "Ready", "True").await;
    assert_eq!(reason, "Suspended", "{message}");
    let (reason, _) = rig.condition("chat", "Reconciling", "False").await;
    assert_eq!(reason, "Suspended");

    rig.api::<Service>()
        .delete(CHILD, &DeleteParams::default())
        .await
        .unwrap();
    // sleep: the operator would restore the Service within milliseconds.
    tokio::time::sleep(Duration::from_secs(3)).await;
    exists::<Service>(&rig, false).await;
    let now = deployment(&rig).await;
    assert_eq!(now.spec, before.spec);
    assert_eq!(now.metadata.labels, before.metadata.labels);
    let object = rig.api::<BedrockAccess>().get("chat").await.unwrap();
    assert_eq!(object.status.unwrap().gateways.as_deref(), Some("2/2"));
    let events = rig
        .api::<Event>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let reasons = events
        .items
        .iter()
        .filter_map(|event| event.reason.as_deref());
    assert_eq!(reasons.filter(|reason| *reason == "Suspended").count(), 1);

    let mut resumed = suspended();
    resumed["suspend"] = json!(false);
    rig.apply("chat", &resumed).await.unwrap();
    exists::<Service>(&rig, true).await;
    eventually("the Deployment follows the spec", || async {
        let now = deployment(&rig).await;
        let replicas = now.spec.unwrap().replicas;
        let team = now.metadata.labels.unwrap_or_default().get("team").cloned();
        if (replicas, team.as_deref()) == (Some(5), Some("a")) {
            Ok(())
        } else {
            Err(format!("{replicas:?} {team:?}"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn object_that_is_created_suspended_gets_its_objects_when_resumed_and_loses_them_when_deleted()
 {
    let rig = Rig::shared("created-suspended").await;
    rig.apply("chat", &suspended()).await.unwrap();
    let (reason, _) = rig.condition("chat", "Ready", "False").await;
    assert_eq!(reason, "Suspended");
    exists::<Deployment>(&rig, false).await;

    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children(CHILD).await;

    rig.apply("chat", &suspended()).await.unwrap();
    let (reason, _) = rig.condition("chat", "Ready", "False").await;
    assert_eq!(reason, "Suspended");
    rig.api::<BedrockAccess>()
        .delete("chat", &DeleteParams::default())
        .await
        .unwrap();
    exists::<Deployment>(&rig, false).await;
    exists::<Service>(&rig, false).await;
}
