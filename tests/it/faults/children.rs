//! Each child is deleted, changed by hand, stripped of its label, taken over by another owner and given
//! back, or belonged to another owner before the BedrockAccess was created.

use std::{future::Future, pin::Pin, sync::Arc};

use api::names;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use super::{
    oracle::{self, CHILDREN, STRANGER},
    world::{self, CHILD, Case, Operator, World, every_child},
};
use crate::support::lane;

type Story = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A change of a child by hand, as a merge patch.
fn by_hand(kind: &str) -> Value {
    match kind {
        "ServiceAccount" => {
            json!({"metadata": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/Evil"}}})
        }
        "ConfigMap" => json!({"data": {(names::CONFIG_KEY): "models: []"}}),
        "NetworkPolicy" => json!({"spec": {"ingress": [{}]}}),
        "Deployment" => json!({"spec": {
            "revisionHistoryLimit": 7,
            "template": {"metadata": {"annotations": {"bedrockaccess.dev/restart-hash": "0"}}},
        }}),
        // A list whose elements are found by their port: the old one is gone, and its name taken.
        "Service" => json!({"spec": {
            "selector": {"bedrockaccess.dev/access": "other"},
            "ports": [{"name": "http", "port": 9999, "targetPort": 1, "protocol": "TCP"}],
        }}),
        "PodDisruptionBudget" => json!({"spec": {"maxUnavailable": 3}}),
        "HorizontalPodAutoscaler" => json!({"spec": {"maxReplicas": 50}}),
        "Certificate" => json!({"spec": {"dnsNames": ["elsewhere.example"]}}),
        "BackendTLSPolicy" => json!({"spec": {"validation": {"hostname": "elsewhere.example"}}}),
        "HTTPRoute" => json!({"spec": {"hostnames": ["elsewhere.example"]}}),
        "PodMonitor" => {
            json!({"spec": {"selector": {"matchLabels": {"bedrockaccess.dev/access": "other"}}}})
        }
        other => panic!("{other} is no child"),
    }
}

async fn patch(case: &Case, kind: &str, change: &Value) -> Value {
    let by_hand = PatchParams {
        field_manager: Some("a-person".to_owned()),
        ..PatchParams::default()
    };
    let patched = oracle::api(&case.world.client, &case.namespace, kind)
        .patch(CHILD, &by_hand, &Patch::Merge(change))
        .await
        .unwrap();
    serde_json::to_value(patched).unwrap()
}

async fn get(case: &Case, kind: &str) -> Value {
    let found = oracle::api(&case.world.client, &case.namespace, kind)
        .get(CHILD)
        .await
        .unwrap();
    serde_json::to_value(found).unwrap()
}

/// The access with every child, at rest, and its state.
async fn at_rest(world: &Arc<World>, namespace: &str) -> (Case, Operator, String) {
    let case = world.case(namespace).await;
    let operator = case.operator().await;
    case.apply(&every_child()).await;
    let state = case.settled(&operator).await;
    (case, operator, state)
}

async fn deleted(world: Arc<World>, kind: &'static str, namespace: String) {
    let (case, operator, state) = at_rest(&world, &namespace).await;
    let before = get(&case, kind).await;
    oracle::api(&case.world.client, &case.namespace, kind)
        .delete(CHILD, &DeleteParams::background())
        .await
        .unwrap();
    case.settled_like(&operator, &state).await;
    assert_ne!(
        get(&case, kind).await["metadata"]["uid"],
        before["metadata"]["uid"]
    );
}

async fn changed(world: Arc<World>, kind: &'static str, namespace: String) {
    let (case, operator, state) = at_rest(&world, &namespace).await;
    let changed = patch(&case, kind, &by_hand(kind)).await;
    case.settled_like(&operator, &state).await;
    let now = get(&case, kind).await;
    assert_eq!(
        now["metadata"]["uid"], changed["metadata"]["uid"],
        "it was corrected, not recreated"
    );
}

async fn unlabelled(world: Arc<World>, kind: &'static str, namespace: String) {
    let (case, operator, state) = at_rest(&world, &namespace).await;
    patch(
        &case,
        kind,
        &json!({"metadata": {"labels": {"bedrockaccess.dev/access": null}}}),
    )
    .await;
    case.settled_like(&operator, &state).await;
}

/// Another owner takes a child over: that is said, and the child is let alone until it is given back.
async fn taken_over(world: Arc<World>, kind: &'static str, namespace: String) {
    let (case, operator, state) = at_rest(&world, &namespace).await;
    let owner = stranger(&case).await;
    let ours = get(&case, kind).await["metadata"]["ownerReferences"].clone();
    let taken = patch(
        &case,
        kind,
        &json!({"metadata": {"ownerReferences": [owner]}}),
    )
    .await;
    let message = case.reason("NameConflict").await;
    assert!(
        message.contains(CHILD) && message.contains(STRANGER),
        "{message}"
    );
    let now = get(&case, kind).await;
    assert_eq!(
        now["metadata"]["ownerReferences"],
        taken["metadata"]["ownerReferences"]
    );
    assert_eq!(now["spec"], taken["spec"]);
    assert_eq!(now["data"], taken["data"]);
    patch(&case, kind, &json!({"metadata": {"ownerReferences": ours}})).await;
    case.settled_like(&operator, &state).await;
}

/// An object of the name of a child is there first, and goes later.
async fn there_first(world: Arc<World>, kind: &'static str, namespace: String, state: Arc<String>) {
    let case = world.case(&namespace).await;
    let mut object = match kind {
        "NetworkPolicy" => json!({"spec": {"podSelector": {}}}),
        "Deployment" => json!({"spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"app": "other"}},
            "template": {
                "metadata": {"labels": {"app": "other"}},
                "spec": {"containers": [{"name": "other", "image": "other"}]},
            },
        }}),
        "Service" => json!({"spec": {"ports": [{"port": 80}]}}),
        "PodDisruptionBudget" => {
            json!({"spec": {"selector": {"matchLabels": {"app": "other"}}, "minAvailable": 1}})
        }
        "HorizontalPodAutoscaler" => json!({"spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "other"},
            "maxReplicas": 2,
        }}),
        "PodMonitor" => json!({"spec": {"selector": {}}}),
        "BackendTLSPolicy" => json!({"spec": {
            "targetRefs": [{"group": "", "kind": "Service", "name": "other"}],
            "validation": {"hostname": "other.example", "wellKnownCACertificates": "System"},
        }}),
        "HTTPRoute" => json!({"spec": {}}),
        "Certificate" => json!({"spec": {"secretName": "other", "issuerRef": {"name": "other"}}}),
        _ => json!({}),
    };
    let api = oracle::api(&case.world.client, &case.namespace, kind);
    let (group, version, ..) = CHILDREN
        .into_iter()
        .find(|(_, _, name, _)| *name == kind)
        .unwrap();
    object["apiVersion"] = json!(format!("{group}/{version}").trim_start_matches('/'));
    object["kind"] = json!(kind);
    object["metadata"] = json!({"name": CHILD});
    let object = serde_json::from_value(object).unwrap();
    let foreign = api.create(&PostParams::default(), &object).await.unwrap();
    let operator = case.operator().await;
    case.apply(&every_child()).await;
    let message = case.reason("NameConflict").await;
    assert!(message.contains(CHILD), "{message}");
    let found = api.get(CHILD).await.unwrap();
    assert_eq!(found.metadata.uid, foreign.metadata.uid);
    assert_eq!(found.metadata.labels, None);
    assert_eq!(found.metadata.owner_references, None);
    api.delete(CHILD, &DeleteParams::background())
        .await
        .unwrap();
    case.settled_like(&operator, &state).await;
}

/// An object that owns what is taken over, as an owner reference.
async fn stranger(case: &Case) -> Value {
    let stranger = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": STRANGER}});
    let stranger = serde_json::from_value(stranger).unwrap();
    let stranger = oracle::api(&case.world.client, &case.namespace, "ConfigMap")
        .create(&PostParams::default(), &stranger)
        .await
        .unwrap();
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "controller": true,
        "name": STRANGER, "uid": stranger.metadata.uid,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_child_may_be_deleted_changed_or_taken() {
    let world = World::shared().await;
    let (_, _, state) = at_rest(&world, "children-oracle").await;
    let state = Arc::new(state);
    let mut cases: Vec<(String, Story)> = Vec::new();
    for (row, (_, _, kind, plural)) in CHILDREN.into_iter().enumerate() {
        let mut column = 0;
        let mut add = |what: &str, case: &dyn Fn(Arc<World>, String) -> Story| {
            column += 1;
            if !world::is_sampled(row, column - 1, 5) {
                return;
            }
            let namespace = format!("{}-{plural}", what.replace(' ', "-"));
            cases.push((
                format!("{kind} is {what}"),
                case(Arc::clone(&world), namespace),
            ));
        };
        add("deleted", &|world, namespace| {
            Box::pin(deleted(world, kind, namespace))
        });
        add("changed by hand", &|world, namespace| {
            Box::pin(changed(world, kind, namespace))
        });
        add("stripped of its label", &|world, namespace| {
            Box::pin(unlabelled(world, kind, namespace))
        });
        add("taken over and given back", &|world, namespace| {
            Box::pin(taken_over(world, kind, namespace))
        });
        add("there first", &|world, namespace| {
            Box::pin(there_first(world, kind, namespace, Arc::clone(&state)))
        });
    }
    world::run("children", lane::pick(8, 40), cases).await;
}
