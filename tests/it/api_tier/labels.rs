//! `spec.commonLabels` on managed objects and on gateway pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::Resource;
use serde_json::{Value, json};

use super::rig::{Rig, sample_spec};
use crate::support::eventually;

const CHILD: &str = "chat-gateway";

async fn labels<K>(rig: &Rig) -> Result<BTreeMap<String, String>, String>
where
    K: Resource<Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + serde::de::DeserializeOwned,
    K::DynamicType: Default,
{
    let object = rig.api::<K>().get(CHILD).await;
    let object = object.map_err(|error| error.to_string())?;
    Ok(object.meta().labels.clone().unwrap_or_default())
}

/// Waits until every managed object and the pod template have exactly these labels in addition to the operator's own.
async fn labelled(rig: &Rig, expected: Value) {
    let expected: BTreeMap<String, String> = serde_json::from_value(expected).unwrap();
    eventually(&format!("labels {expected:?}"), || async {
        let deployment: Deployment = rig
            .api()
            .get(CHILD)
            .await
            .map_err(|error| error.to_string())?;
        let template = deployment.spec.unwrap().template.metadata.unwrap();
        let all = [
            labels::<ServiceAccount>(rig).await?,
            labels::<ConfigMap>(rig).await?,
            labels::<Deployment>(rig).await?,
            labels::<Service>(rig).await?,
            labels::<NetworkPolicy>(rig).await?,
            labels::<PodDisruptionBudget>(rig).await?,
            template.labels.unwrap(),
        ];
        for mut found in all {
            found.retain(|key, _| {
                let own = ["name", "instance", "component", "managed-by"];
                let own = own.map(|name| format!("app.kubernetes.io/{name}"));
                key != "bedrockaccess.dev/access" && !own.contains(key)
            });
            if found != expected {
                return Err(format!("{found:?}"));
            }
        }
        Ok(())
    })
    .await;
}

fn with(labels: &Value) -> Value {
    let mut spec = sample_spec();
    spec["commonLabels"] = labels.clone();
    spec
}

#[tokio::test(flavor = "multi_thread")]
async fn common_labels_are_added_changed_and_removed_and_selectors_stay() {
    let rig = Rig::shared("common-labels").await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    labelled(&rig, json!({})).await;
    let selector = |deployment: Deployment| deployment.spec.unwrap().selector;
    let before = rig.children(CHILD).await;

    let both = json!({"team": "a", "app.kubernetes.io/part-of": "chat"});
    rig.apply("chat", &with(&both)).await.unwrap();
    labelled(&rig, both).await;
    let one = json!({"team": "b"});
    rig.apply("chat", &with(&one)).await.unwrap();
    labelled(&rig, one).await;
    let after = rig.children(CHILD).await;
    assert_eq!(
        after.3.spec.unwrap().selector,
        before.3.spec.unwrap().selector
    );
    assert_eq!(selector(after.2), selector(before.2));

    rig.apply("chat", &sample_spec()).await.unwrap();
    labelled(&rig, json!({})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_label_key_is_reported_by_a_condition() {
    let rig = Rig::shared("invalid-labels").await;
    let spec = with(&json!({"two words": "a"}));
    rig.apply("chat", &spec).await.unwrap();
    let (reason, message) = rig.condition("chat", "Stalled", "True").await;
    assert_eq!(reason, "InvalidSpec");
    assert!(message.contains("spec.commonLabels"), "{message}");
}
