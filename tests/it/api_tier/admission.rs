//! The operator's validating webhook refuses BedrockAccess objects at `kubectl apply`.

use std::{net::SocketAddr, time::Duration};

use api::{
    names,
    v1alpha1::{BedrockAccess, policy::BedrockAccessPolicy},
};
use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration, core::v1::Namespace,
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use operator::{CertificateSource, OwnCertificate, Rotation, Settings, WebhookSettings};
use serde_json::{Value, json};

use super::rig::{OPERATOR_NAMESPACE, Rig, TEAM, sample_spec};
use crate::support::{eventually, free_address};

/// The chart's configuration with a URL instead of a Service: there is no network of pods on this tier.
pub(crate) async fn configure(rig: &Rig, webhook: SocketAddr) {
    let mut configuration = rig
        .render(&[])
        .into_iter()
        .find(|object| object["kind"] == "ValidatingWebhookConfiguration")
        .unwrap();
    for one in configuration["webhooks"].as_array_mut().unwrap() {
        one["clientConfig"] =
            json!({"url": format!("https://{webhook}{}", names::VALIDATION_WEBHOOK_PATH)});
    }
    Api::<ValidatingWebhookConfiguration>::all(rig.client.clone())
        .patch(
            names::VALIDATION_CONFIGURATION,
            &PatchParams::apply("helm").force(),
            &Patch::Apply(&configuration),
        )
        .await
        .unwrap();
}

pub(crate) async fn start_operator(rig: &mut Rig, webhook: SocketAddr) {
    rig.start_operator_with(Settings {
        webhook: Some(WebhookSettings {
            address: webhook,
            client_authority: None,
            certificate: CertificateSource::Own(OwnCertificate {
                namespace: OPERATOR_NAMESPACE.to_owned(),
                secret: names::WEBHOOK_SECRET.to_owned(),
                configuration: names::WEBHOOK_CONFIGURATION.to_owned(),
                validation_configuration: names::VALIDATION_CONFIGURATION.to_owned(),
                names: vec!["127.0.0.1".to_owned()],
                rotation: Rotation {
                    check: Duration::from_millis(500),
                    ..Rotation::default()
                },
            }),
        }),
        ..Settings::default()
    })
    .await;
}

/// A BedrockAccess that the schema accepts and no client could use: its role is in another partition.
fn unusable() -> Value {
    let mut spec = sample_spec();
    spec["identity"]["irsa"]["roleArn"] = json!("arn:aws-cn:iam::123456789012:role/BedrockRole");
    spec
}

async fn put(rig: &Rig, name: &str, spec: &Value) {
    let object = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccessPolicy",
        "metadata": {"name": name},
        "spec": spec,
    });
    Api::<BedrockAccessPolicy>::all(rig.client.clone())
        .patch(
            name,
            &PatchParams::apply("integration-test").force(),
            &Patch::Apply(&object),
        )
        .await
        .unwrap();
}

fn message(refused: Result<BedrockAccess, kube::Error>) -> String {
    match refused {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("{other:?}"),
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "one rig for the whole life of an object"
)]
#[tokio::test(flavor = "multi_thread")]
async fn access_is_refused_at_apply_with_the_words_of_its_status() {
    let webhook = free_address();
    let mut rig = Rig::without_operator().await;
    configure(&rig, webhook).await;
    start_operator(&mut rig, webhook).await;
    let wrong = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccess",
        "metadata": {"generateName": "wrong-"},
        "spec": unusable(),
    });
    let wrong = serde_json::from_value(wrong).unwrap();
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let refusal = eventually("the webhook refuses", || async {
        match rig.api::<BedrockAccess>().create(&dry_run, &wrong).await {
            Err(kube::Error::Api(status)) => Ok(status.message.clone()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    assert!(refusal.contains(names::VALIDATION_WEBHOOK), "{refusal}");
    assert!(
        refusal.contains("spec.identity.irsa.roleArn: the role is in partition aws-cn"),
        "{refusal}"
    );

    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children("chat-gateway").await;
    let (reason, message_of_models) = rig.condition("chat", "ModelsReady", "True").await;
    assert_eq!(reason, "Ready", "{message_of_models}");

    // A problem of a model is a warning and a condition, and the object is stored.
    let mut mistyped = sample_spec();
    mistyped["models"][0]["modelId"] = json!("anthropic.claude-3-hiaku-20240307-v1:0");
    let object = |spec: &Value| {
        json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1",
            "kind": "BedrockAccess",
            "metadata": {"name": "typo", "namespace": TEAM},
            "spec": spec,
        })
        .to_string()
    };
    let warnings = rig.kubectl_messages(&object(&mistyped));
    assert!(
        warnings.contains("Warning: spec.models[0].modelId: anthropic.claude-3-hiaku"),
        "{warnings}"
    );
    let (reason, told) = rig.condition("typo", "ModelsReady", "False").await;
    assert_eq!(reason, "UnknownModel", "{told}");
    rig.children("typo-gateway").await;
    rig.mark_available("typo-gateway").await;
    rig.condition("typo", "Ready", "True").await;
    let warnings = rig.kubectl_messages(&object(&sample_spec()));
    assert!(!warnings.contains("Warning"), "{warnings}");
    rig.condition("typo", "ModelsReady", "True").await;

    let gold = json!({
        "namespaces": {"selector": {"matchLabels": {"tier": "gold"}}},
        "regions": ["us-*"],
    });
    put(&rig, "gold", &gold).await;
    let refusal = message(rig.apply("more", &sample_spec()).await);
    assert!(
        refusal.contains("no BedrockAccessPolicy applies to namespace team-a"),
        "{refusal}"
    );
    put(
        &rig,
        "europe",
        &json!({"namespaces": {"names": [TEAM]}, "regions": ["eu-*"]}),
    )
    .await;
    let refusal = message(rig.apply("more", &sample_spec()).await);
    assert!(
        refusal.contains("spec.region: us-east-1 is not allowed (allowed by regions: eu-*)"),
        "{refusal}"
    );

    // An existing object is revoked; changes that request nothing are accepted.
    rig.condition("chat", "Accepted", "False").await;
    let labelled = json!({"metadata": {"labels": {"a": "b"}}});
    rig.api::<BedrockAccess>()
        .patch("chat", &PatchParams::default(), &Patch::Merge(&labelled))
        .await
        .unwrap();

    // A namespace and its access, one right after the other.
    let namespace: Namespace =
        serde_json::from_value(json!({"metadata": {"name": "fresh", "labels": {"tier": "gold"}}}))
            .unwrap();
    Api::<Namespace>::all(rig.client.clone())
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let access = json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1",
        "kind": "BedrockAccess",
        "metadata": {"generateName": "chat-"},
        "spec": sample_spec(),
    });
    let access = serde_json::from_value(access).unwrap();
    Api::<BedrockAccess>::namespaced(rig.client.clone(), "fresh")
        .create(&PostParams::default(), &access)
        .await
        .unwrap();

    // While no operator answers, everything is stored, and judged when one is back.
    rig.stop_operator().await;
    eventually("no process listens any more", || async {
        tokio::net::TcpStream::connect(webhook)
            .await
            .err()
            .ok_or_else(|| "listens".to_owned())
    })
    .await;
    rig.apply("more", &sample_spec()).await.unwrap();
    start_operator(&mut rig, webhook).await;
    let (_, told) = rig.condition("more", "Accepted", "False").await;
    assert!(told.contains("spec.region: us-east-1"), "{told}");
}
