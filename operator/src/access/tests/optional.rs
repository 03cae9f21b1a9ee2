//! Children that not every access asks for: they come, hand over and go.

use super::*;

const AUTOSCALED: &str = "gateway: {autoscaling: {maxReplicas: 5}}";
const MONITORED: &str = "gateway: {podMonitor: {labels: {release: prometheus}, interval: 30s}}";

#[tokio::test]
async fn autoscaler_takes_over_the_number_of_pods_it_finds_and_gives_it_back() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.catch_up();
    world.api.asked();
    world.reconcile(fixtures::access(AUTOSCALED)).await.unwrap();
    let asked = world.api.asked();
    let writes: Vec<_> = asked
        .iter()
        .filter(|asked| asked.path == DEPLOYMENT && asked.method == Method::PATCH)
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
        "the number stays while nobody else owns it"
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
        "who owned nothing hands nothing over"
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
async fn children_that_are_no_longer_asked_for_are_removed() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.catch_up();
    world.api.asked();
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
    let asked = world.api.asked();
    assert!(asked.iter().all(|asked| asked.path != POD_MONITOR));
    let status = with_status(&asked).status.unwrap();
    let monitored = status::find(&status, condition::MONITORED).unwrap();
    assert_eq!(monitored.status, "False");
    assert_eq!(monitored.reason, "ApiNotServed");

    world.caches.served.send_modify(|kinds| {
        kinds.insert(ChildKind::PodMonitor);
    });
    world.catch_up();
    world.reconcile(access()).await.unwrap();
    let monitor = world.api.object(POD_MONITOR).unwrap();
    assert_eq!(monitor["metadata"]["labels"]["release"], "prometheus");
    assert_eq!(
        monitor["spec"]["podMetricsEndpoints"],
        json!([{"port": "admin", "path": "/metrics", "interval": "30s"}])
    );
    let status = with_status(&world.api.asked()).status.unwrap();
    let monitored = status::find(&status, condition::MONITORED).unwrap();
    assert_eq!(monitored.status, "True");

    world.catch_up();
    world.reconcile(fixtures::access("")).await.unwrap();
    let asked = world.api.asked();
    let status = with_status(&asked).status.unwrap();
    assert_eq!(status::find(&status, condition::MONITORED), None);
    assert!(
        asked
            .iter()
            .any(|asked| asked.path == POD_MONITOR && asked.method == Method::DELETE)
    );
}
