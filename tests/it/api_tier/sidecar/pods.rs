//! Which pods get the sidecar, which are left alone, and which are refused.

use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, Namespace, Pod},
};
use kube::{
    Api,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::{
    super::rig::TEAM,
    rig::{ACCESS, SidecarRig, calm, has_sidecar, pod},
};
use crate::support::eventually;

const LABEL: &str = api::names::INJECT_LABEL;

fn find<'a>(pod: &'a Pod, name: &str) -> &'a Container {
    let spec = pod.spec.as_ref().unwrap();
    let all = spec
        .init_containers
        .iter()
        .flatten()
        .chain(&spec.containers);
    all.into_iter()
        .find(|container| container.name == name)
        .unwrap()
}

fn mounts(container: &Container) -> Vec<&str> {
    let mounts = container.volume_mounts.iter().flatten();
    mounts.map(|mount| mount.name.as_str()).collect()
}

fn value<'a>(container: &'a Container, name: &str) -> Option<&'a str> {
    let mut env = container.env.iter().flatten();
    env.find(|entry| entry.name == name)?.value.as_deref()
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_ask_get_it_and_the_token_is_the_sidecars() {
    let sidecar = SidecarRig::start(calm()).await;
    let made = sidecar
        .create(&pod(
            "one",
            &json!({}),
            &json!({"initContainers": [{"name": "migrate", "image": "app:1"}]}),
        ))
        .await
        .unwrap();
    let spec = made.spec.as_ref().unwrap();
    let init = spec.init_containers.as_ref().unwrap();
    assert_eq!(init[0].name, "bedrock-gateway", "before all others");
    assert_eq!(init[0].restart_policy.as_deref(), Some("Always"));
    assert_eq!(
        mounts(&init[0]),
        ["bedrock-gateway-config", "aws-iam-token"],
        "no token for the API server"
    );
    for name in ["migrate", "app"] {
        let container = find(&made, name);
        assert!(
            !mounts(container).contains(&"aws-iam-token"),
            "{container:?}"
        );
        assert_eq!(
            value(container, "OPENAI_BASE_URL"),
            Some("http://127.0.0.1:8000/v1")
        );
        assert_eq!(value(container, "AWS_ROLE_ARN"), None);
    }
    // Made again from what was made, as a person with kubectl would.
    let mut copy = made.clone();
    copy.metadata = kube::api::ObjectMeta {
        name: Some("copy".to_owned()),
        labels: made.metadata.labels.clone(),
        annotations: made.metadata.annotations.clone(),
        ..Default::default()
    };
    copy.status = None;
    let copy = sidecar.create(&copy).await.unwrap();
    let count = |pod: &Pod| {
        pod.spec
            .as_ref()
            .unwrap()
            .init_containers
            .as_ref()
            .unwrap()
            .len()
    };
    assert_eq!(count(&copy), count(&made));

    deployment_gets_it(&sidecar).await;
}

async fn deployment_gets_it(sidecar: &SidecarRig) {
    // The pods of a Deployment, whose maker cannot be told anything.
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": {"name": "app"},
        "spec": {
            "replicas": 2, "selector": {"matchLabels": {"app": "app"}},
            "template": {
                "metadata": {"labels": {"app": "app", LABEL: ACCESS}},
                "spec": {"serviceAccountName": "app", "containers": [{"name": "app", "image": "app:1"}]},
            },
        },
    }))
    .unwrap();
    let deployments: Api<Deployment> = sidecar.rig.api();
    deployments
        .create(&PostParams::default(), &deployment)
        .await
        .unwrap();
    eventually("both pods have it", || async {
        let pods = sidecar
            .pods()
            .list(&ListParams::default().labels("app=app"))
            .await
            .unwrap();
        let with = pods.items.iter().filter(|pod| has_sidecar(pod)).count();
        if with == 2 {
            Ok(())
        } else {
            Err(format!("{with} of {}", pods.items.len()))
        }
    })
    .await;
    deployments
        .delete("app", &DeleteParams::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_do_not_ask_are_left_alone() {
    let sidecar = SidecarRig::start(calm()).await;
    make_namespaces(&sidecar).await;
    let left_alone = [
        ("no-label", TEAM, json!({LABEL: null}), json!({})),
        ("label-false", TEAM, json!({LABEL: "false"}), json!({})),
        (
            "opted-out",
            "opted-out",
            json!({}),
            json!({"serviceAccountName": "default"}),
        ),
    ];
    for (name, namespace, labels, spec) in left_alone {
        let pods: Api<Pod> = Api::namespaced(sidecar.rig.client.clone(), namespace);
        let made = pods
            .create(&PostParams::default(), &pod(name, &labels, &spec))
            .await
            .unwrap();
        assert!(!has_sidecar(&made), "{name}");
    }

    // A label that comes later brings no sidecar, and the status says so.
    let later = json!({"metadata": {"labels": {LABEL: ACCESS}}});
    sidecar
        .pods()
        .patch("no-label", &PatchParams::default(), &Patch::Merge(&later))
        .await
        .unwrap();
    let (reason, message) = sidecar
        .rig
        .condition(ACCESS, "SidecarsUpToDate", "False")
        .await;
    assert_eq!(reason, "NotInjected", "{message}");
}

/// A namespace that has opted out, and one of another team.
async fn make_namespaces(sidecar: &SidecarRig) {
    let namespaces: Api<Namespace> = Api::all(sidecar.rig.client.clone());
    for (name, labels) in [
        ("opted-out", json!({LABEL: "false"})),
        ("team-b", json!({})),
    ] {
        let namespace = json!({"metadata": {"name": name, "labels": labels}});
        let namespace = serde_json::from_value(namespace).unwrap();
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
    }
    eventually("the namespaces have their ServiceAccounts", || async {
        for name in ["opted-out", "team-b"] {
            let accounts: Api<k8s_openapi::api::core::v1::ServiceAccount> =
                Api::namespaced(sidecar.rig.client.clone(), name);
            accounts
                .get("default")
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pods_that_may_not_have_it_are_refused_with_what_to_change() {
    let sidecar = SidecarRig::start(calm()).await;
    make_namespaces(&sidecar).await;
    let refused: [(&str, &str, Value, Value, &[&str]); 8] = [
        (
            "unknown",
            TEAM,
            json!({LABEL: "missing"}),
            json!({}),
            &["BedrockAccess missing does not exist", "Available: chat"],
        ),
        ("empty", TEAM, json!({LABEL: ""}), json!({}), &["is empty"]),
        (
            "elsewhere",
            "team-b",
            json!({}),
            json!({"serviceAccountName": "default"}),
            &["BedrockAccess chat does not exist in namespace team-b"],
        ),
        (
            "stranger",
            TEAM,
            json!({}),
            json!({"serviceAccountName": "stranger"}),
            &[
                "ServiceAccount stranger",
                "kubectl --namespace team-a patch bda chat",
            ],
        ),
        (
            "default",
            TEAM,
            json!({}),
            json!({"serviceAccountName": ""}),
            &["ServiceAccount default"],
        ),
        (
            "port",
            TEAM,
            json!({}),
            json!({"containers": [{"name": "app", "image": "a", "ports": [{"containerPort": 8000}]}]}),
            &["container app: port 8000", "spec.sidecar.port"],
        ),
        (
            "processes",
            TEAM,
            json!({}),
            json!({"shareProcessNamespace": true}),
            &["container app: with shareProcessNamespace it could read the sidecar's token"],
        ),
        (
            "name",
            TEAM,
            json!({}),
            json!({"containers": [{"name": "bedrock-gateway", "image": "a"}]}),
            &["bedrock-gateway: this name is reserved"],
        ),
    ];
    for (name, namespace, labels, spec, says) in refused {
        let pods: Api<Pod> = Api::namespaced(sidecar.rig.client.clone(), namespace);
        for dry_run in [true, false] {
            let parameters = PostParams {
                dry_run,
                ..PostParams::default()
            };
            let error = pods
                .create(&parameters, &pod(name, &labels, &spec))
                .await
                .unwrap_err()
                .to_string();
            for part in says {
                assert!(error.contains(part), "{name}: {part} is not in {error}");
            }
        }
    }

    // What a refusal tells to do is enough, at once.
    let allow = json!([{"op": "add", "path": "/spec/sidecar/serviceAccounts/-", "value": {"name": "stranger"}}]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(allow).unwrap());
    let objects: Api<api::v1alpha1::BedrockAccess> = sidecar.rig.api();
    objects
        .patch(ACCESS, &PatchParams::default(), &patch)
        .await
        .unwrap();
    let made = sidecar
        .create(&pod(
            "stranger",
            &json!({}),
            &json!({"serviceAccountName": "stranger"}),
        ))
        .await
        .unwrap();
    assert!(has_sidecar(&made));
}
