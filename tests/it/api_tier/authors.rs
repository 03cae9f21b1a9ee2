//! A user who may edit BedrockAccess objects and nothing else gets no more than Bedrock endpoints.
//!
//! The users are ServiceAccounts with tokens and the cluster's own roles.

use api::{names, v1alpha1::BedrockAccess};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::ServiceAccount,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api, Client,
    api::{Patch, PatchParams, PostParams},
};
use operator::Settings;
use serde_json::{Value, json};

use super::{
    admission,
    policies::put,
    rig::{Rig, TEAM, sample_spec},
};
use crate::support::{eventually, free_address};

/// Every way to use the operator's permissions, as a change of the sample, with the field that the refusal names.
fn ways() -> Vec<(Value, &'static str)> {
    let irsa = "arn:aws:iam::123456789012:role/BedrockRole";
    let identity = |other: Value| json!({"identity": other});
    vec![
        (
            json!({"gateway": {"image": "attacker.example/image:1"}}),
            "spec.gateway.image",
        ),
        (
            json!({"serviceAccount": {"create": false, "name": "admin"}}),
            "spec.serviceAccount.name",
        ),
        (
            json!({"serviceAccount": {"name": "not-yet-there"}}),
            "spec.serviceAccount.name",
        ),
        (
            identity(
                json!({"irsa": {"roleArn": irsa, "audience": "https://kubernetes.default.svc"}}),
            ),
            "spec.identity.irsa.audience",
        ),
        (
            identity(json!({"irsa": null, "secret": {"name": "payments"}})),
            "spec.identity.secret.name",
        ),
        (
            identity(json!({"irsa": null, "ambient": {}})),
            "spec.identity: ambient",
        ),
        (
            json!({"endpoints": {"sts": "http://attacker.example"}}),
            "spec.endpoints.sts",
        ),
        (
            json!({"endpoints": {"bedrockRuntime": "https://attacker.example"}}),
            "spec.endpoints.bedrockRuntime",
        ),
        (
            json!({"limits": {"store": {"redis": {"url": "redis://attacker.example", "secretName": "payments"}}}}),
            "spec.limits.store.redis.secretName",
        ),
        (
            json!({"clients": {"apiKeys": {"secretName": "payments"}}}),
            "spec.clients.apiKeys.secretName",
        ),
        (
            json!({"gateway": {"imagePullSecrets": [{"name": "registry"}]}}),
            "spec.gateway.imagePullSecrets",
        ),
        (
            json!({"gateway": {"priorityClassName": "system-node-critical"}}),
            "spec.gateway.priorityClassName",
        ),
        (
            json!({"gateway": {"tolerations": [{"operator": "Exists"}]}}),
            "spec.gateway.tolerations",
        ),
        (
            json!({"gateway": {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}, "namespaceSelector": {}},
            ]}}}}),
            "spec.gateway.affinity.podAntiAffinity",
        ),
        (
            json!({"gateway": {"podAnnotations": {"a": "b"}}}),
            "spec.gateway.podAnnotations",
        ),
        (
            json!({"gateway": {"podLabels": {"app": "payments"}}}),
            "spec.gateway.podLabels",
        ),
        (
            json!({"commonLabels": {"app": "payments"}}),
            "spec.commonLabels",
        ),
        (
            json!({"gateway": {"service": {"annotations": {"external-dns.alpha.kubernetes.io/hostname": "payments.example"}}}}),
            "spec.gateway.service.annotations",
        ),
        (
            json!({"serviceAccount": {"annotations": {"a": "b"}}}),
            "spec.serviceAccount.annotations",
        ),
    ]
}

/// The sample, changed by a merge patch of its spec.
fn object(name: &str, change: &Value) -> BedrockAccess {
    let mut spec = sample_spec();
    merge(&mut spec, change);
    serde_json::from_value(json!({
        "apiVersion": "bedrockaccess.dev/v1alpha1", "kind": "BedrockAccess",
        "metadata": {"name": name}, "spec": spec,
    }))
    .unwrap()
}

/// RFC 7386.
fn merge(target: &mut Value, change: &Value) {
    let Some(fields) = change.as_object() else {
        *target = change.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            target.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut target[name], value);
        }
    }
}

/// Binds an account of the team to a role.
pub(super) async fn bind(rig: &Rig, account: &str, kind: &str, role: &str) {
    let binding = json!({
        "metadata": {"name": format!("{account}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": TEAM}],
    });
    rig.api::<RoleBinding>()
        .create(
            &PostParams::default(),
            &serde_json::from_value(binding).unwrap(),
        )
        .await
        .unwrap();
}

/// The objects of the team as a new user with this ClusterRole in the namespace.
pub(super) async fn user(rig: &Rig, name: &str, role: &str) -> Api<BedrockAccess> {
    let account = serde_json::from_value(json!({"metadata": {"name": name}})).unwrap();
    rig.api::<ServiceAccount>()
        .create(&PostParams::default(), &account)
        .await
        .unwrap();
    bind(rig, name, "ClusterRole", role).await;
    let config = rig.config_of(TEAM, name).await;
    let objects = Api::namespaced(Client::try_from(config).unwrap(), TEAM);
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    // The API server learns about a binding, and of what a role aggregates, after a moment.
    eventually(&format!("{name} may create objects"), || async {
        let created = objects.create(&dry_run, &object("probe", &json!({}))).await;
        created.map(drop).map_err(|error| error.to_string())
    })
    .await;
    objects
}

fn refusal(result: Result<BedrockAccess, kube::Error>) -> String {
    match result {
        Err(kube::Error::Api(status)) => status.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn edit_on_bedrock_access_alone_opens_no_way_to_other_permissions() {
    let webhook = free_address();
    let mut rig = Rig::without_operator().await;
    admission::configure(&rig, webhook).await;
    admission::start_operator(&mut rig, webhook).await;
    // Until the webhook is trusted, an author without permissions is refused altogether.
    let only = user(&rig, "only", "bedrock-access-edit").await;
    let edit = user(&rig, "edit", "edit").await;
    let admin = user(&rig, "admin", "admin").await;
    let dry_run = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for (change, field) in ways() {
        let wanted = object("chat", &change);
        let message = refusal(only.create(&dry_run, &wanted).await);
        for words in [
            names::AUTHORIZATION_WEBHOOK,
            "user system:serviceaccount:team-a:only lacks permissions in namespace team-a",
            field,
            "requires permission to",
            "BedrockAccessPolicy",
        ] {
            assert!(
                message.contains(words),
                "{change}: {words} is missing in {message}"
            );
        }
        for other in [&edit, &admin] {
            let created = other.create(&dry_run, &wanted).await;
            created.unwrap_or_else(|error| panic!("{change}: {error}"));
        }
    }

    // A user who may read the Secret may name it, and no other.
    let reader = json!({
        "metadata": {"name": "reader"},
        "rules": [{"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["mine"], "verbs": ["get"]}],
    });
    rig.api::<Role>()
        .create(
            &PostParams::default(),
            &serde_json::from_value(reader).unwrap(),
        )
        .await
        .unwrap();
    bind(&rig, "only", "Role", "reader").await;
    let with_secret = |name: &str| {
        object(
            "chat",
            &json!({"clients": {"apiKeys": {"secretName": name}}}),
        )
    };
    eventually("the permission to read the Secret counts", || async {
        let created = only.create(&dry_run, &with_secret("mine")).await;
        created.map(drop).map_err(|error| error.to_string())
    })
    .await;
    let message = refusal(only.create(&dry_run, &with_secret("payments")).await);
    assert!(message.contains("get secrets/payments"), "{message}");

    // What another user set stays, and does not grow.
    let image = json!({"gateway": {"image": "registry.example/gateway:1"}});
    edit.create(&PostParams::default(), &object("chat", &image))
        .await
        .unwrap();
    rig.children("chat-gateway").await;
    let change = |spec: Value| Patch::Merge(json!({"spec": spec}));
    let patched = PatchParams::default();
    let more = change(json!({"allow": ["amazon.*"]}));
    only.patch("chat", &patched, &more).await.unwrap();
    let other = change(json!({"gateway": {"image": "attacker.example/image:1"}}));
    let message = refusal(only.patch("chat", &patched, &other).await);
    assert!(message.contains("spec.gateway.image"), "{message}");
    let deployment = rig.api::<Deployment>().get("chat-gateway").await.unwrap();
    let pod = deployment.spec.unwrap().template.spec.unwrap();
    assert_eq!(
        pod.containers[0].image.as_deref(),
        Some("registry.example/gateway:1")
    );

    // A rule of a policy replaces the permission.
    let rules = json!({"namespaces": {"names": [TEAM]}, "images": ["registry.example/*"]});
    put(&rig, "images", &rules).await.unwrap();
    let newer = change(json!({"gateway": {"image": "registry.example/gateway:2"}}));
    eventually("the rule allows the image", || async {
        let changed = only.patch("chat", &patched, &newer).await;
        changed.map(drop).map_err(|error| error.to_string())
    })
    .await;
    for user in [&only, &edit] {
        let message = refusal(user.patch("chat", &patched, &other).await);
        assert!(message.contains("allowed by images"), "{message}");
    }

    // While no operator runs, an author whose permissions are unknown changes nothing but metadata.
    rig.stop_operator().await;
    let message = refusal(
        only.patch("chat", &patched, &change(json!({"allow": []})))
            .await,
    );
    assert!(message.contains("failed calling webhook"), "{message}");
    let labelled = Patch::Merge(json!({"metadata": {"labels": {"a": "b"}}}));
    only.patch("chat", &patched, &labelled).await.unwrap();
    edit.patch("chat", &patched, &change(json!({"allow": []})))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_webhook_a_restricted_value_needs_a_rule_of_a_policy() {
    let mut rig = Rig::without_operator_with(&[], &["--set", "admission.enabled=false"]).await;
    rig.start_operator_with(Settings {
        validation_webhook: false,
        ..Settings::default()
    })
    .await;
    let mut spec = sample_spec();
    spec["gateway"] = json!({"image": "attacker.example/image:1"});
    rig.apply("chat", &spec).await.unwrap();
    let (reason, message) = rig.condition("chat", "Accepted", "False").await;
    assert_eq!(reason, "AuthorNotVerified");
    for words in ["spec.gateway.image", "rule images", "admission.enabled"] {
        assert!(message.contains(words), "{words} is missing in {message}");
    }
    let replicas = |wanted: i32| {
        let deployments = rig.api::<Deployment>();
        async move {
            eventually(&format!("{wanted} replicas"), || async {
                let found = deployments.get("chat-gateway").await;
                let found = found.map_err(|error| error.to_string())?;
                let replicas = found.spec.unwrap().replicas;
                (replicas == Some(wanted))
                    .then_some(())
                    .ok_or_else(|| format!("{replicas:?}"))
            })
            .await;
        }
    };
    replicas(0).await;
    let rules = json!({"namespaces": {"names": ["*"]}, "images": ["attacker.example/*"]});
    put(&rig, "images", &rules).await.unwrap();
    rig.condition("chat", "Accepted", "True").await;
    replicas(2).await;
}
