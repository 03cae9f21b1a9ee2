//! Complete reconciles against a scripted API server.

use http::{Method, StatusCode};
use kube_runtime::reflector;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::{
    access::readiness::HttpReadiness,
    fixtures::{self, Caches, PolicyCaches, Scripted},
};

mod authors;
mod drift;
mod gateways;
mod optional;
mod policies;
mod routes;
mod suspend;
mod tls;

const ACCOUNT: &str = "/api/v1/namespaces/team-a/serviceaccounts/chat-gateway";
const CONFIG: &str = "/api/v1/namespaces/team-a/configmaps/chat-gateway";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/team-a/deployments/chat-gateway";
const NETWORK_POLICY: &str =
    "/apis/networking.k8s.io/v1/namespaces/team-a/networkpolicies/chat-gateway";
const BUDGET: &str = "/apis/policy/v1/namespaces/team-a/poddisruptionbudgets/chat-gateway";
const AUTOSCALER: &str =
    "/apis/autoscaling/v2/namespaces/team-a/horizontalpodautoscalers/chat-gateway";
const POD_MONITOR: &str =
    "/apis/monitoring.coreos.com/v1/namespaces/team-a/podmonitors/chat-gateway";
const SERVICE: &str = "/api/v1/namespaces/team-a/services/chat-gateway";
const STATUS: &str =
    "/apis/bedrockaccess.dev/v1alpha1/namespaces/team-a/bedrockaccesses/chat/status";
const CLIENT: &str = "/api/v1/namespaces/team-a/configmaps/chat-client";
const OWNED: [(OwnedKind, &str); 9] = [
    (OwnedKind::ServiceAccount, ACCOUNT),
    (OwnedKind::ConfigMap, CONFIG),
    (OwnedKind::NetworkPolicy, NETWORK_POLICY),
    (OwnedKind::Deployment, DEPLOYMENT),
    (OwnedKind::Service, SERVICE),
    (OwnedKind::PodDisruptionBudget, BUDGET),
    (OwnedKind::HorizontalPodAutoscaler, AUTOSCALER),
    (OwnedKind::PodMonitor, POD_MONITOR),
    (OwnedKind::ConfigMap, CLIENT),
];

struct World {
    api: Scripted,
    caches: Caches,
    policies: PolicyCaches,
    context: Arc<Context>,
    // The keys stay available as long as the sender exists.
    _keys: watch::Sender<Option<Arc<crate::cluster_keys::ClusterKeys>>>,
}

impl World {
    fn new() -> Self {
        let api = Scripted::default();
        let caches = Caches::new();
        let policies = PolicyCaches::new(false);
        let client = api.client();
        let (sender, keys) = watch::channel(Some(fixtures::keys()));
        let reporter = Reporter {
            controller: "test".to_owned(),
            instance: None,
        };
        let metrics = Arc::new(Metrics::new(1));
        let context = Context {
            stores: caches.stores.clone(),
            policies: policies.policies.clone(),
            leadership: Leadership::always(),
            keys,
            readiness: Box::new(HttpReadiness::new(1, Duration::from_millis(50))),
            recorder: Recorder::new(client.clone(), reporter.clone()),
            reporter,
            settings: fixtures::settings(),
            seed: Seed::default(),
            memory: Arc::default(),
            queue: Queue::new(reflector::store().0, Arc::clone(&metrics)),
            metrics,
            client,
        };
        Self {
            api,
            caches,
            policies,
            context: Arc::new(context),
            _keys: sender,
        }
    }

    async fn reconcile(&self, access: BedrockAccess) -> Result<Action, Error> {
        let object = Arc::new(kube::core::DeserializeGuard(Ok(access)));
        reconcile(object, Arc::clone(&self.context)).await
    }

    /// Removes an object from the cache.
    fn caches_forget(&mut self, kind: OwnedKind, path: &str) {
        if self.api.object(path).is_none() {
            self.caches.forget(kind, path.rsplit('/').next().unwrap());
        }
    }

    /// Fills the caches with the objects of the API server.
    fn catch_up(&mut self) {
        for (kind, path) in OWNED {
            if let Some(object) = self.api.object(path) {
                self.caches.put(kind, object);
            }
        }
    }
}

/// The `BedrockAccess` with the status that was written for it.
fn with_status(requests: &[fixtures::RecordedRequest]) -> BedrockAccess {
    let written = requests
        .iter()
        .rev()
        .find(|request| request.path == STATUS)
        .unwrap();
    let mut access = fixtures::access("");
    access.status = Some(serde_json::from_value(written.body["status"].clone()).unwrap());
    access.metadata.resource_version = Some("71".to_owned());
    access
}

fn events(requests: &[fixtures::RecordedRequest]) -> Vec<(String, String)> {
    requests
        .iter()
        .filter(|request| request.path.contains("events.k8s.io") && request.method == Method::POST)
        .map(|request| {
            let text = |name: &str| request.body[name].as_str().unwrap_or_default().to_owned();
            (text("reason"), text("note"))
        })
        .collect()
}

#[tokio::test]
async fn owned_objects_are_applied_in_order_with_our_field_manager_and_an_owner_reference() {
    let world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let requests = world.api.requests();
    let applied: Vec<_> = requests
        .iter()
        .filter(|request| request.method == Method::PATCH)
        .map(|request| request.path.as_str())
        .collect();
    assert_eq!(
        applied,
        [
            ACCOUNT,
            CONFIG,
            NETWORK_POLICY,
            DEPLOYMENT,
            SERVICE,
            BUDGET,
            CLIENT,
            STATUS
        ]
    );
    for patch in requests
        .iter()
        .filter(|request| request.method == Method::PATCH)
    {
        assert!(
            patch.query.contains("fieldManager=bedrock-access-operator"),
            "{}",
            patch.query
        );
        if patch.path != STATUS {
            let owner = &patch.body["metadata"]["ownerReferences"][0];
            assert_eq!(owner["uid"], "11111111-2222-3333-4444-555555555555");
            assert_eq!(owner["controller"], true);
        }
    }
    let names = [
        "ServiceAccount",
        "ConfigMap",
        "NetworkPolicy",
        "Deployment",
        "Service",
        "PodDisruptionBudget",
    ]
    .map(|kind| format!("{kind} chat-gateway"));
    let created = format!("Created {}, ConfigMap chat-client", names.join(", "));
    assert_eq!(events(&requests), [("Created".to_owned(), created)]);
}

#[tokio::test]
async fn second_reconcile_writes_nothing() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let access = with_status(&world.api.requests());
    world.catch_up();
    for _ in 0..3 {
        world.reconcile(access.clone()).await.unwrap();
        let requests: Vec<_> = world
            .api
            .requests()
            .iter()
            .map(|request| request.path.clone())
            .collect();
        assert_eq!(requests, Vec::<String>::new());
    }
}

#[tokio::test]
async fn reconcile_before_the_cache_has_our_status_does_not_write_it_again() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.api.requests();
    world.catch_up();
    world.reconcile(fixtures::access("")).await.unwrap();
    assert_eq!(world.api.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn changed_model_writes_only_the_configuration_and_the_settings_for_apps() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    let before = with_status(&world.api.requests());
    world.catch_up();
    let mut access = fixtures::access("models: [{name: other, modelId: amazon.nova-lite-v1:0}]");
    access.status = before.status;
    access.metadata.resource_version = Some("72".to_owned());
    world.reconcile(access).await.unwrap();
    // The permission policy in the status depends on the models.
    assert_eq!(
        world.api.writes(),
        [CONFIG, CLIENT, STATUS].map(|path| format!("PATCH {path}"))
    );
}

#[tokio::test]
async fn foreign_settings_for_apps_are_reported_after_all_that_serves() {
    let world = World::new();
    let foreign = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"mine": "1"},
        "metadata": {"name": "chat-client", "namespace": "team-a", "uid": "x"},
    });
    world.api.put(CLIENT, foreign.clone());
    let error = world.reconcile(fixtures::access("")).await.unwrap_err();
    assert_eq!(error.reason(), "NameConflict");
    assert!(
        error.explain().contains("ConfigMap chat-client"),
        "{error:?}"
    );
    assert_eq!(world.api.object(CLIENT), Some(foreign));
    assert!(world.api.object(BUDGET).is_some());
}

#[tokio::test]
async fn foreign_object_of_the_same_name_is_reported_and_never_touched() {
    let world = World::new();
    let foreign = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "chat-gateway", "namespace": "team-a", "uid": "x"},
    });
    world.api.put(SERVICE, foreign.clone());
    let error = world.reconcile(fixtures::access("")).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Apply(ApplyError::Foreign {
                kind: OwnedKind::Service,
                ..
            })
        ),
        "{error}"
    );
    let requests = world.api.requests();
    // One request that could only create the object, and was rejected.
    let tried = requests.iter().filter(|request| request.path == SERVICE);
    let tried: Vec<_> = tried
        .filter(|request| request.method != Method::GET)
        .collect();
    assert_eq!(tried.len(), 1, "{tried:?}");
    assert_eq!(tried[0].body["metadata"]["resourceVersion"], "1");
    let status = with_status(&requests).status.unwrap();
    let ready = status::find(&status, condition::READY).unwrap();
    assert_eq!(
        (ready.status.as_str(), ready.reason.as_str()),
        ("False", "NameConflict")
    );
    assert!(
        ready.message.contains("Service chat-gateway"),
        "{}",
        ready.message
    );
    assert_eq!(world.api.object(SERVICE), Some(foreign));
    assert_eq!(
        events(&requests)
            .iter()
            .filter(|(reason, _)| reason == "NameConflict")
            .count(),
        1
    );
}

#[tokio::test]
async fn existing_service_account_is_looked_up_and_never_written() {
    let world = World::new();
    let path = "/api/v1/namespaces/team-a/serviceaccounts/mine";
    let more = "serviceAccount: {create: false, name: mine}";
    let error = world.reconcile(fixtures::access(more)).await.unwrap_err();
    assert_eq!(error.reason(), "ReferenceNotFound");
    assert_eq!(world.api.writes(), [format!("PATCH {STATUS}")]);
    world.api.put(
        path,
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": {"name": "mine"}}),
    );
    world.reconcile(fixtures::access(more)).await.unwrap();
    let writes = world.api.writes();
    assert!(
        writes
            .iter()
            .all(|write| !write.contains("serviceaccounts")),
        "{writes:?}"
    );
    assert!(
        writes.contains(&format!("PATCH {DEPLOYMENT}")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn renamed_service_account_is_deleted_after_the_pods_use_the_new_one() {
    let mut world = World::new();
    world.reconcile(fixtures::access("")).await.unwrap();
    world.api.requests();
    world.catch_up();
    world
        .reconcile(fixtures::access("serviceAccount: {name: other}"))
        .await
        .unwrap();
    let writes = world.api.writes();
    let position = |wanted: &str| writes.iter().position(|write| write == wanted);
    let deleted = position(&format!("DELETE {ACCOUNT}"));
    assert!(
        deleted > position(&format!("PATCH {DEPLOYMENT}")),
        "{writes:?}"
    );
}

#[tokio::test]
async fn invalid_object_gets_one_event_and_one_status_and_waits_for_a_change() {
    let world = World::new();
    let invalid = "region: nowhere";
    let error = world
        .reconcile(fixtures::access(invalid))
        .await
        .unwrap_err();
    let object = Arc::new(kube::core::DeserializeGuard(Ok(fixtures::access(invalid))));
    let action = error_policy(object, &error, Arc::clone(&world.context));
    assert_eq!(action, Action::await_change());
    let requests = world.api.requests();
    assert_eq!(events(&requests).len(), 1);
    let mut again = fixtures::access(invalid);
    again.status = with_status(&requests).status;
    again.metadata.resource_version = Some("71".to_owned());
    world.reconcile(again).await.unwrap_err();
    assert_eq!(world.api.requests().len(), 0);
}

#[tokio::test]
async fn rejection_of_an_owned_object_becomes_the_status_and_is_retried() {
    let world = World::new();
    world.api.fail(
        DEPLOYMENT,
        StatusCode::UNPROCESSABLE_ENTITY,
        "spec.replicas: too many",
    );
    let error = world.reconcile(fixtures::access("")).await.unwrap_err();
    assert_eq!(error.reason(), "ChildRefused");
    let object = Arc::new(kube::core::DeserializeGuard(Ok(fixtures::access(""))));
    let action = error_policy(object, &error, Arc::clone(&world.context));
    assert_ne!(action, Action::await_change());
    let status = with_status(&world.api.requests()).status.unwrap();
    let ready = status::find(&status, condition::READY).unwrap();
    assert!(
        ready.message.contains("spec.replicas: too many"),
        "{}",
        ready.message
    );
    world.api.heal();
    world.reconcile(fixtures::access("")).await.unwrap();
    assert!(world.api.object(SERVICE).is_some());
}

#[tokio::test]
async fn outage_of_the_api_server_increases_the_backoff() {
    let world = World::new();
    world
        .api
        .fail(CONFIG, StatusCode::SERVICE_UNAVAILABLE, "not now");
    let object = Arc::new(kube::core::DeserializeGuard(Ok(fixtures::access(""))));
    let mut actions = Vec::new();
    for _ in 0..4 {
        let error = world.reconcile(fixtures::access("")).await.unwrap_err();
        assert_eq!(error.reason(), "Retrying");
        actions.push(error_policy(
            Arc::clone(&object),
            &error,
            Arc::clone(&world.context),
        ));
    }
    let text = format!("{actions:?}");
    assert_ne!(actions[0], actions[3], "{text}");
}

#[tokio::test]
async fn object_that_does_not_parse_gets_a_status_once() {
    let world = World::new();
    let path = "/apis/bedrockaccess.dev/v1alpha1/namespaces/team-a/bedrockaccesses/chat";
    let mut raw = serde_json::to_value(fixtures::access("")).unwrap();
    raw["spec"]["region"] = json!(7);
    world.api.put(path, raw.clone());
    let guarded: Guarded = serde_json::from_value(raw.clone()).unwrap();
    let object = Arc::new(guarded);
    let error = reconcile(Arc::clone(&object), Arc::clone(&world.context))
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "InvalidSpec");
    let requests = world.api.requests();
    let written = requests
        .iter()
        .find(|request| request.path == STATUS)
        .unwrap();
    assert_eq!(events(&requests).len(), 1);
    raw["status"] = written.body["status"].clone();
    world.api.put(path, raw);
    reconcile(object, Arc::clone(&world.context))
        .await
        .unwrap_err();
    assert_eq!(world.api.writes(), Vec::<String>::new());
}

#[tokio::test]
async fn deleted_object_is_left_to_the_garbage_collector() {
    let world = World::new();
    let mut raw: Value = serde_json::to_value(fixtures::access("")).unwrap();
    raw["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    let action = world
        .reconcile(serde_json::from_value(raw).unwrap())
        .await
        .unwrap();
    assert_eq!(action, Action::await_change());
    assert_eq!(world.api.requests().len(), 0);
}
