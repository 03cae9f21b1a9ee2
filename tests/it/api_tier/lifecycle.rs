//! From apply to delete: children, roll-outs, drift, and the silence in between.

use std::time::Duration;

use api::{GatewayConfig, names, v1alpha1::BedrockAccess};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Service, ServiceAccount},
    events::v1::Event,
};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::json;

use super::rig::{Rig, sample_spec};
use crate::support::{eventually, lane};

const CHILD: &str = "chat-gateway";
/// Defaults of the platform, as numbers and durations that the API server could write in another form.
const DEFAULTS: &str = "
imagePullSecrets: [{name: registry}]
podLabels: {team: platform}
podAnnotations: {note: platform}
tolerations: [{key: gateways, operator: Exists, effect: NoSchedule}]
topologySpreadConstraints: []
resources: {requests: {cpu: 0.1, memory: 64Mi}, limits: {memory: 512Mi}}
podMonitor: {interval: 30s}
proxy: {httpsProxy: 'http://proxy.example:3128', noProxy: svc}
";

/// The ConfigMap for apps, with what they need.
async fn settings_for_apps(rig: &Rig) -> ConfigMap {
    let settings = eventually("settings for apps", || async {
        let found = rig.api::<ConfigMap>().get("chat-client").await;
        found.map_err(|error| error.to_string())
    })
    .await;
    let base = format!("http://chat-gateway.{}.svc:8000", rig.namespace);
    let data = settings.data.as_ref().unwrap();
    assert_eq!(data["OPENAI_BASE_URL"], format!("{base}/v1"));
    assert_eq!(data["ANTHROPIC_BASE_URL"], base);
    assert_eq!(data["AWS_ENDPOINT_URL_BEDROCK_RUNTIME"], base);
    assert_eq!(
        data["BEDROCK_ACCESS_AUDIENCE"],
        format!("bedrockaccess.dev/{}/chat", rig.namespace)
    );
    assert_eq!(data["BEDROCK_ACCESS_MODELS"], "fast");
    settings
}

#[tokio::test(flavor = "multi_thread")]
async fn access_becomes_its_children_and_leaves_nothing_behind() {
    let rig = Rig::shared("becomes-children").await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    let (account, config, deployment, service) = rig.children(CHILD).await;

    assert_eq!(
        account.metadata.annotations.unwrap()[names::ROLE_ARN_ANNOTATION],
        "arn:aws:iam::123456789012:role/BedrockRole"
    );
    let document = GatewayConfig::from_yaml(&config.data.unwrap()[names::CONFIG_KEY]).unwrap();
    assert_eq!(document.models[0].name, "fast");
    let clients = document.clients.service_accounts.unwrap();
    assert_eq!(clients.issuer, localcluster::ISSUER);
    assert_eq!(
        clients.audience,
        format!("bedrockaccess.dev/{}/chat", rig.namespace)
    );
    assert!(
        !clients.jwks["keys"].as_array().unwrap().is_empty(),
        "the cluster's own keys"
    );
    assert_eq!(clients.subjects[0].namespace, rig.namespace);
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(pod.service_account_name.as_deref(), Some(CHILD));
    assert_eq!(pod.automount_service_account_token, Some(false));
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("bedrock-gateway:test")
    );
    assert_eq!(
        service.spec.unwrap().ports.unwrap()[0].port,
        i32::from(names::GATEWAY_PORT)
    );
    let settings = settings_for_apps(&rig).await;
    for owners in [
        account.metadata.owner_references,
        config.metadata.owner_references,
        settings.metadata.owner_references,
    ] {
        assert_eq!(owners.unwrap()[0].name, "chat");
    }

    rig.condition("chat", "Ready", "False").await;
    rig.mark_available(CHILD).await;
    rig.condition("chat", "GatewayAvailable", "True").await;
    let status = rig
        .api::<BedrockAccess>()
        .get("chat")
        .await
        .unwrap()
        .status
        .unwrap();
    assert_eq!(
        status.endpoint,
        Some(format!("http://chat-gateway.{}.svc:8000", rig.namespace))
    );

    rig.api::<BedrockAccess>()
        .delete("chat", &DeleteParams::default())
        .await
        .unwrap();
    eventually("all children are gone", || async {
        let labelled = ListParams::default().labels(&format!("{}=chat", names::ACCESS_LABEL));
        let error = |error: kube::Error| error.to_string();
        let left = rig
            .api::<ServiceAccount>()
            .list(&labelled)
            .await
            .map_err(error)?
            .items
            .len()
            + rig
                .api::<ConfigMap>()
                .list(&labelled)
                .await
                .map_err(error)?
                .items
                .len()
            + rig
                .api::<Deployment>()
                .list(&labelled)
                .await
                .map_err(error)?
                .items
                .len()
            + rig
                .api::<Service>()
                .list(&labelled)
                .await
                .map_err(error)?
                .items
                .len();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} left"))
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changed_role_rolls_the_pods_and_a_changed_model_does_not() {
    let rig = Rig::shared("changed-role").await;
    let mut spec = sample_spec();
    rig.apply("chat", &spec).await.unwrap();
    let template = |deployment: Deployment| deployment.spec.unwrap().template;
    let before = template(rig.children(CHILD).await.2);

    spec["models"][0]["name"] = json!("quick");
    rig.apply("chat", &spec).await.unwrap();
    eventually(
        "the new name is in the config and the settings for apps",
        || async {
            let config = rig
                .api::<ConfigMap>()
                .get(CHILD)
                .await
                .map_err(|error| error.to_string())?;
            let text = config.data.unwrap()[names::CONFIG_KEY].clone();
            let settings = rig.api::<ConfigMap>().get("chat-client").await;
            let models =
                settings.map_err(|error| error.to_string())?.data.unwrap()["BEDROCK_ACCESS_MODELS"]
                    .clone();
            if text.contains("quick") && models == "quick" {
                Ok(())
            } else {
                Err(text)
            }
        },
    )
    .await;
    assert_eq!(
        template(rig.children(CHILD).await.2),
        before,
        "models are read again, not rolled out"
    );

    spec["identity"]["irsa"]["roleArn"] = json!("arn:aws:iam::123456789012:role/Other");
    rig.apply("chat", &spec).await.unwrap();
    eventually("the pods are rolled", || async {
        let now = template(
            rig.api::<Deployment>()
                .get(CHILD)
                .await
                .map_err(|error| error.to_string())?,
        );
        if now == before {
            Err("the template is as it was".to_owned())
        } else {
            Ok(())
        }
    })
    .await;
    let account = rig.api::<ServiceAccount>().get(CHILD).await.unwrap();
    assert!(
        account.metadata.annotations.unwrap()[names::ROLE_ARN_ANNOTATION].ends_with("role/Other")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_is_put_right_and_deleted_children_come_back() {
    let rig = Rig::shared("drift").await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children(CHILD).await;

    let stolen = json!({"metadata": {"annotations": {names::ROLE_ARN_ANNOTATION: "arn:aws:iam::999999999999:role/Mine"}}});
    rig.api::<ServiceAccount>()
        .patch(CHILD, &PatchParams::default(), &Patch::Merge(&stolen))
        .await
        .unwrap();
    eventually("the role is put back", || async {
        let account = rig
            .api::<ServiceAccount>()
            .get(CHILD)
            .await
            .map_err(|error| error.to_string())?;
        let role =
            account.metadata.annotations.unwrap_or_default()[names::ROLE_ARN_ANNOTATION].clone();
        if role.ends_with("role/BedrockRole") {
            Ok(())
        } else {
            Err(role)
        }
    })
    .await;

    rig.api::<Service>()
        .delete(CHILD, &DeleteParams::default())
        .await
        .unwrap();
    rig.children(CHILD).await;
    rig.api::<Deployment>()
        .delete(CHILD, &DeleteParams::default())
        .await
        .unwrap();
    rig.children(CHILD).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn steady_state_writes_nothing() {
    let settings = || operator::Settings {
        gateway_tracing: Some(operator::Tracing {
            endpoint: "http://collector.observability.svc:4318".parse().unwrap(),
            sampling_rate_per_million: operator::ALL_PER_MILLION,
            audit_records: false,
        }),
        gateway_defaults: operator::GatewayDefaults::from_yaml(DEFAULTS).unwrap(),
        ..operator::Settings::default()
    };
    let mut rig = Rig::without_operator().await;
    rig.start_operator_with(settings()).await;
    rig.serve_pod_monitors().await;
    rig.serve_certificates().await;
    rig.serve_gateway_api().await;
    for name in ["one", "two", "three"] {
        let mut spec = sample_spec();
        if name == "three" {
            // Every kind of child there is. The autoscaler has no metrics, so it keeps what it finds.
            spec["gateway"] = json!({
                "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
                "podMonitor": {},
                "tls": {"issuerRef": {"name": "internal"}, "caConfigMapName": "bundle"},
                "httpRoute": {"parentRefs": [{"name": "shared"}], "hostnames": ["bedrock.example.com"]},
            });
        }
        if name == "two" {
            spec["gateway"] = json!({"tls": {}});
        }
        rig.apply(name, &spec).await.unwrap();
    }
    rig.condition("three", "Monitored", "True").await;
    for name in ["one", "two", "three"] {
        rig.children(&format!("{name}-gateway")).await;
        rig.mark_available(&format!("{name}-gateway")).await;
        rig.condition(name, "GatewayAvailable", "True").await;
        rig.condition(name, "Monitored", "True").await;
    }
    let writes = |rig: &Rig| -> Vec<String> {
        rig.operator_requests()
            .into_iter()
            .filter(localcluster::AuditEvent::is_write)
            .filter(|event| event.resource != "leases")
            .map(|event| format!("{} {} {}", event.verb, event.resource, event.name))
            .collect()
    };
    // Quiet begins when the last change has been answered: no write for five seconds.
    let mut quiet = tokio::time::interval(Duration::from_secs(5));
    quiet.tick().await;
    let mut seen = writes(&rig).len();
    loop {
        quiet.tick().await;
        let now = writes(&rig).len();
        if now == seen {
            break;
        }
        seen = now;
    }

    // A new operator finds everything as it should be, and so does the old one for the rest of the time.
    rig.stop_operator().await;
    rig.start_operator_with(settings()).await;
    let before = writes(&rig);
    // sleep: that nothing happens in this time takes this time to see.
    tokio::time::sleep(lane::pick(Duration::from_secs(15), Duration::from_mins(1))).await;
    let after = writes(&rig);
    assert_eq!(
        after.len(),
        before.len(),
        "written while nothing changed: {:?}",
        &after[before.len()..]
    );
    let reads = rig
        .operator_requests()
        .into_iter()
        .filter(|event| !event.is_write())
        .count();
    assert!(reads > 0, "the operator was there");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_object_of_the_same_name_is_reported_and_left_alone() {
    let rig = Rig::shared("foreign").await;
    let foreign: ServiceAccount = serde_json::from_value(json!({
        "metadata": {"name": CHILD, "annotations": {"owner": "another team"}},
    }))
    .unwrap();
    rig.api::<ServiceAccount>()
        .create(&kube::api::PostParams::default(), &foreign)
        .await
        .unwrap();
    rig.apply("chat", &sample_spec()).await.unwrap();
    let (reason, message) = rig.condition("chat", "Ready", "False").await;
    assert_eq!(reason, "NameConflict", "{message}");
    assert!(message.contains(CHILD), "{message}");
    let account = rig.api::<ServiceAccount>().get(CHILD).await.unwrap();
    assert!(account.metadata.owner_references.is_none());
    assert!(
        !account
            .metadata
            .annotations
            .unwrap()
            .contains_key(names::ROLE_ARN_ANNOTATION)
    );
    eventually("an Event says so", || async {
        let events = rig
            .api::<Event>()
            .list(&ListParams::default())
            .await
            .map_err(|error| error.to_string())?;
        let reasons: Vec<_> = events
            .items
            .into_iter()
            .filter_map(|event| event.reason)
            .collect();
        if reasons.iter().any(|reason| reason == "NameConflict") {
            Ok(())
        } else {
            Err(format!("{reasons:?}"))
        }
    })
    .await;
}
