use axum::body::Body;
use base64::{Engine, engine::general_purpose::STANDARD};
use kube_runtime::{reflector, watcher::Event};
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt;

use super::*;
use crate::fixtures::{self, Scripted};

async fn send(routes: &Router, body: String) -> (StatusCode, Value) {
    let request = http::Request::post("/inject")
        .body(Body::from(body))
        .unwrap();
    let response = routes.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = axum::body::to_bytes(response.into_body(), MAX_BODY_BYTES)
        .await
        .unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

fn review(account: &str, dry_run: bool) -> String {
    json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5", "namespace": "team-a", "dryRun": dry_run, "operation": "CREATE",
            "object": {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"generateName": "app-", "labels": {"bedrockaccess.dev/inject": "chat"}},
                "spec": {"serviceAccountName": account, "containers": [{"name": "app"}]},
            },
        },
    })
    .to_string()
}

#[tokio::test]
async fn reviews_get_a_patch_or_a_rejection_and_are_counted() {
    let api = Scripted::default();
    let (access_store, mut writer) = reflector::store();
    let access = fixtures::access("sidecar: {serviceAccounts: [{name: app}]}");
    let url = "/apis/bedrockaccess.dev/v1alpha1/namespaces/team-a/bedrockaccesses/chat";
    api.put(url, serde_json::to_value(&access).unwrap());
    writer.apply_watcher_event(&Event::Apply(kube::core::DeserializeGuard(Ok(access))));
    let (_sender, keys) = watch::channel(Some(fixtures::keys()));
    let mut registry = Registry::default();
    let policies = fixtures::PolicyCaches::new(false).policies;
    let metrics = WebhookMetrics::default();
    metrics.register(&mut registry);
    let routes = routes(Webhook {
        reviewer: Arc::new(Reviewer {
            client: api.client(),
            policies: policies.clone(),
            settings: fixtures::settings(),
        }),
        admitter: Arc::new(Admitter {
            client: api.client(),
            access_store,
            keys,
            policies,
            settings: fixtures::settings(),
        }),
        metrics,
    });

    let (status, response) = send(&routes, review("app", false)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(response["response"]["uid"], "705ab4f5");
    assert_eq!(response["response"]["allowed"], true);
    assert_eq!(response["response"]["patchType"], "JSONPatch");
    let patch = STANDARD
        .decode(response["response"]["patch"].as_str().unwrap())
        .unwrap();
    let patch: Value = serde_json::from_slice(&patch).unwrap();
    assert!(
        patch.to_string().contains("/spec/initContainers"),
        "{patch}"
    );

    let (_, response) = send(&routes, review("stranger", false)).await;
    assert_eq!(response["response"]["allowed"], false);
    assert_eq!(response["response"]["status"]["code"], 403);
    let message = response["response"]["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("spec.sidecar.serviceAccounts"),
        "{message}"
    );

    let (_, response) = send(&routes, review("app", true)).await;
    assert_eq!(response["response"]["allowed"], true);

    for body in [
        String::new(),
        "{}".to_owned(),
        review("app", false).replace("admission.k8s.io/v1", "admission.k8s.io/v2"),
    ] {
        assert_eq!(send(&routes, body).await.0, StatusCode::BAD_REQUEST);
    }

    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
    for line in [
        "bedrock_access_operator_sidecar_admissions_total{result=\"injected\"} 1",
        "bedrock_access_operator_sidecar_admissions_total{result=\"ServiceAccountNotAllowed\"} 1",
        "controller_runtime_webhook_requests_total{webhook=\"/inject\",code=\"200\"} 3",
        "controller_runtime_webhook_requests_total{webhook=\"/inject\",code=\"400\"} 3",
        "controller_runtime_webhook_requests_in_flight{webhook=\"/inject\"} 0",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}
