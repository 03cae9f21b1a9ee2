//! Optional owned objects: created, handed over and deleted.

use super::*;

const AUTOSCALED: &str = "gateway: {autoscaling: {maxReplicas: 5}}";
const MONITORED: &str = "gateway: {podMonitor: {labels: {release: prometheus}, interval: 30s}}";

#[tokio::test]
async fn autoscaler_takes_over_the_current_number_of_pods_and_returns_it() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.catch_up();
    world.api.requests();
    world.reconcile(fixtures::access(AUTOSCALED)).await.unwrap();
    let requests = world.api.requests();
    let writes: Vec<_> = requests
        .iter()
        .filter(|request| request.path == DEPLOYMENT && request.method == Method::PATCH)
        .collect();
    assert_eq!(writes.len(), 2, "{writes:?}");
    assert!(
        writes[0]
            .query
            .contains("fieldManager=bedrock-access-operator-autoscaling"),
        "{}",
        writes[0].query
    );
    assert_eq!(
        writes[0].body,
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "chat-gateway"}, "spec": {"replicas": 2},
        }),
        "the number stays while it has no other owner"
    );
    assert_eq!(writes[1].body["spec"].get("replicas"), None);
    let autoscaler = world.api.object(AUTOSCALER).unwrap();
    assert_eq!(autoscaler["spec"]["maxReplicas"], 5);
    assert_eq!(autoscaler["spec"]["minReplicas"], 2);

    world.catch_up();
    world.reconcile(fixtures::access(AUTOSCALED)).await.unwrap();
    assert_eq!(
        world.api.writes().len(),
        0,
        "without ownership there is no handover"
    );

    world.reconcile(fixtures::access("")).await.unwrap();
    let writes = world.api.writes();
    assert!(
        writes.contains(&format!("PATCH {DEPLOYMENT}")),
        "{writes:?}"
    );
    assert!(
        writes.contains(&format!("DELETE {AUTOSCALER}")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn objects_that_are_no_longer_requested_are_deleted() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.catch_up();
    world.api.requests();
    let more = "gateway: {replicas: 1, networkPolicy: {enabled: false}}";
    world.reconcile(fixtures::access(more)).await.unwrap();
    let writes = world.api.writes();
    for path in [NETWORK_POLICY, BUDGET] {
        assert!(writes.contains(&format!("DELETE {path}")), "{writes:?}");
    }
}

#[tokio::test]
async fn pod_monitor_waits_for_its_api_and_the_status_says_so() {
    let mut world = World::new();
    let access = || fixtures::access(MONITORED);
    world.reconcile(access()).await.unwrap();
    let requests = world.api.requests();
    assert!(requests.iter().all(|request| request.path != POD_MONITOR));
    let status = with_status(&requests).status.unwrap();
    let monitored = status::find(&status, condition::MONITORED).unwrap();
    assert_eq!(monitored.status, "False");
    assert_eq!(monitored.reason, "ApiNotServed");

    world.caches.served.send_modify(|kinds| {
        kinds.insert(OwnedKind::PodMonitor);
    });
    world.catch_up();
    world.reconcile(access()).await.unwrap();
    let monitor = world.api.object(POD_MONITOR).unwrap();
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(
        monitor["spec"]["podMetricsEndpoints"],
        json!([{
            "port": "admin", "path": "/metrics", "interval": "30s",
            "relabelings": [{"action": "replace", "targetLabel": "bedrockaccess", "replacement": "chat"}],
        }])
    );
    let status = with_status(&world.api.requests()).status.unwrap();
    let monitored = status::find(&status, condition::MONITORED).unwrap();
    assert_eq!(monitored.status, "True");

    world.catch_up();
    world.reconcile(fixtures::access("")).await.unwrap();
    let requests = world.api.requests();
    let status = with_status(&requests).status.unwrap();
    assert_eq!(status::find(&status, condition::MONITORED), None);
    assert!(
        requests
            .iter()
            .any(|request| request.path == POD_MONITOR && request.method == Method::DELETE)
    );
}
