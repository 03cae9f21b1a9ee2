use std::sync::Arc;

use http::Method;
use kube_runtime::{reflector, watcher::Event};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::*;
use crate::fixtures::{self, Scripted};

const PATH: &str = "/apis/bedrockaccess.dev/v1alpha1/namespaces/team-a/bedrockaccesses/chat";

struct World {
    api: Scripted,
    admitter: Admitter,
    cache: reflector::store::Writer<Guarded>,
    policies: fixtures::PolicyCaches,
    _keys: watch::Sender<Option<Arc<crate::cluster_keys::ClusterKeys>>>,
}

impl World {
    fn new() -> Self {
        let api = Scripted::default();
        let (access_store, cache) = reflector::store::<Guarded>();
        let (sender, keys) = watch::channel(Some(fixtures::keys()));
        let policies = fixtures::PolicyCaches::new(false);
        let admitter = Admitter {
            client: api.client(),
            access_store,
            keys,
            policies: policies.policies.clone(),
            settings: fixtures::settings(),
        };
        Self {
            api,
            admitter,
            cache,
            policies,
            _keys: sender,
        }
    }

    fn cached(&mut self, more: &str) {
        let guarded = DeserializeGuard(Ok(fixtures::access(more)));
        self.cache.apply_watcher_event(&Event::Apply(guarded));
    }

    fn stored(&self, more: &str) {
        self.api
            .put(PATH, serde_json::to_value(fixtures::access(more)).unwrap());
    }

    async fn admit(&self, label: Value, account: &str) -> Result<Admission, Refused> {
        let pod = json!({
            "metadata": {"labels": {"bedrockaccess.dev/inject": label}},
            "spec": {"serviceAccountName": account, "containers": [{"name": "app"}]},
        });
        let pod = Pod::deserialize(&pod).unwrap();
        self.admitter.admit("team-a", &pod).await
    }
}

const SIDECAR: &str = "sidecar: {serviceAccounts: [{name: app}]}";

#[tokio::test]
async fn allowed_pod_gets_the_sidecar_without_a_request_to_the_api_server() {
    let mut world = World::new();
    world.cached(SIDECAR);
    let admission = world.admit(json!("chat"), "app").await.unwrap();
    assert!(!admission.patch.is_empty());
    assert!(world.api.requests().is_empty());
}

#[tokio::test]
async fn label_false_leaves_the_pod_unchanged() {
    let world = World::new();
    let admission = world.admit(json!("false"), "app").await.unwrap();
    assert_eq!(admission, Admission::default());
    assert!(world.api.requests().is_empty());
}

#[tokio::test]
async fn access_missing_in_the_cache_is_looked_up() {
    let mut world = World::new();
    world.stored(SIDECAR);
    assert!(
        !world
            .admit(json!("chat"), "app")
            .await
            .unwrap()
            .patch
            .is_empty()
    );
    // An outdated object in the cache that would reject the pod is looked up, too.
    world.cached("sidecar: {serviceAccounts: [{name: other}]}");
    assert!(
        !world
            .admit(json!("chat"), "app")
            .await
            .unwrap()
            .patch
            .is_empty()
    );
    assert!(
        world
            .api
            .requests()
            .iter()
            .all(|request| request.method == Method::GET)
    );
}

#[tokio::test]
async fn rejections_contain_the_fix() {
    for (stored, label, account, reason, says) in [
        (Some(SIDECAR), "", "app", "NoAccessNamed", "\"false\""),
        (
            None,
            "chat",
            "app",
            "AccessNotFound",
            "BedrockAccess chat does not exist in namespace team-a",
        ),
        (
            Some(""),
            "chat",
            "app",
            "NoSidecars",
            "\"serviceAccounts\":[{\"name\":\"app\"}]",
        ),
        (
            Some(SIDECAR),
            "chat",
            "stranger",
            "ServiceAccountNotAllowed",
            "{\"name\":\"stranger\"}",
        ),
        (
            Some(SIDECAR),
            "chat",
            "",
            "ServiceAccountNotAllowed",
            "ServiceAccount default cannot use",
        ),
        (
            Some(
                "{identity: {irsa: {roleArn: 'arn:aws-cn:iam::123456789012:role/R'}}, sidecar: {serviceAccounts: [{name: app}]}}",
            ),
            "chat",
            "app",
            "InvalidSpec",
            "spec.identity.irsa.roleArn",
        ),
    ] {
        let world = World::new();
        if let Some(stored) = stored {
            world.stored(stored);
        }
        let refused = world.admit(json!(label), account).await.unwrap_err();
        assert_eq!(refused.reason(), reason, "{refused}");
        assert!(refused.to_string().contains(says), "{refused}");
    }
}

#[tokio::test]
async fn access_denied_by_policies_allows_no_sidecar() {
    let mut world = World::new();
    world.cached(SIDECAR);
    world.stored(SIDECAR);
    world
        .policies
        .put("eu", "{namespaces: {names: [team-a]}, regions: [eu-*]}");
    let refused = world.admit(json!("chat"), "app").await.unwrap_err();
    assert_eq!(refused.reason(), "NotAccepted");
    assert!(
        refused
            .to_string()
            .contains("spec.region: us-east-1 is not allowed (allowed by regions: eu-*)"),
        "{refused}"
    );
    world
        .policies
        .put("us", "{namespaces: {names: [team-a]}, regions: [us-*]}");
    assert!(world.admit(json!("chat"), "app").await.is_ok());
}

#[test]
fn generated_keys_are_long_and_unique() {
    let (one, other) = (new_key().unwrap(), new_key().unwrap());
    assert_eq!(one.len(), 32);
    assert_ne!(one, other);
}

#[tokio::test]
async fn new_pods_get_the_sidecar_of_a_suspended_object() {
    let mut world = World::new();
    world.cached(SIDECAR);
    let expected = world.admit(json!("chat"), "app").await.unwrap();
    world.cached("{suspend: true, sidecar: {serviceAccounts: [{name: app}]}}");
    let found = world.admit(json!("chat"), "app").await.unwrap();
    assert_eq!(found, expected);
}
