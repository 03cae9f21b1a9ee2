//! Upgrade from the first release to this one while a BedrockAccess is ready.
//!
//! `tests/fixtures/first-release` holds the chart as it was on 2026-11-24, and what its operator made of the sample
//! access. Pods are Kubernetes' own: the Deployment controller would replace them if their template had changed.

use std::{collections::BTreeMap, env, fs, path::PathBuf, process::Command};

use api::{names, v1alpha1::BedrockAccess};
use k8s_openapi::{
    api::{
        apps::v1::Deployment,
        core::v1::{ConfigMap, Pod},
        networking::v1::NetworkPolicy,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{ResourceExt, api::ListParams};

use super::{
    documents::run_scripts,
    rig::{Rig, UPGRADE_GUIDE, fixture, sample_spec},
};
use crate::support::eventually;

const CHILD: &str = "chat-gateway";

/// The gateway's pods, each by its UID.
async fn pods(rig: &Rig) -> BTreeMap<String, String> {
    let ours = ListParams::default().labels(&format!("{}=chat", names::ACCESS_LABEL));
    let pods = rig.api::<Pod>().list(&ours).await.unwrap();
    let name = |pod: &Pod| (pod.uid().unwrap(), pod.name_any());
    pods.items.iter().map(name).collect()
}

async fn deployment(rig: &Rig) -> ObjectMeta {
    rig.api::<Deployment>().get(CHILD).await.unwrap().metadata
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_from_the_first_release_restarts_no_gateway() {
    let mut rig = Rig::of_first_release().await;
    let mut spec = sample_spec();
    // The sample of the first release, which its children have.
    spec["models"][0]["modelId"] = "anthropic.claude-3-haiku-20240307-v1:0".into();
    let access = rig.apply("chat", &spec).await.unwrap();
    let children = fs::read_to_string(fixture("first-release/children.yaml")).unwrap();
    let children = children.replace("UID-OF-THE-ACCESS", &access.uid().unwrap());
    rig.kubectl_apply(names::FIELD_MANAGER, &children);
    rig.mark_available(CHILD).await;
    let before = (deployment(&rig).await, pods(&rig).await);
    assert_eq!(before.1.len(), 2);

    rig.upgrade();
    rig.start_operator().await;
    let (reason, message) = rig.condition("chat", "Ready", "True").await;
    assert_eq!(reason, "Ready", "{message}");
    // What is new in this release came to it,
    let of_access = |metadata: &ObjectMeta| metadata.owner_references.clone();
    let policy = eventually("the network policy", || async {
        let policy = rig.api::<NetworkPolicy>().get(CHILD).await;
        policy.map_err(|error| error.to_string())
    })
    .await;
    assert_eq!(of_access(&policy.metadata), of_access(&before.0));
    // its configuration is what this release writes,
    let config = rig.api::<ConfigMap>().get(CHILD).await.unwrap();
    let document = config.data.unwrap().remove("gateway.yaml").unwrap();
    assert!(
        !document.contains("kid: one"),
        "the cluster's own keys: {document}"
    );
    // and no pod noticed: the template is the same to the byte, so the Deployment has no new generation.
    let after = (deployment(&rig).await, pods(&rig).await);
    assert_eq!(after.1, before.1);
    assert_eq!(after.0.generation, before.0.generation);
    assert_eq!(after.0.uid, before.0.uid);
    let access = rig.api::<BedrockAccess>().get("chat").await.unwrap();
    assert_eq!(access.status.unwrap().ready_replicas, Some(2));
}

/// Helm 3 as `cargo xtask chart` installs it.
fn helm3() -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").filter(|cache| !cache.is_empty());
    let cache = cache.map_or_else(
        || PathBuf::from(env::var_os("HOME").unwrap()).join(".cache"),
        PathBuf::from,
    );
    let tools = cache.join("bedrock-access/tools");
    let installed = fs::read_dir(&tools).into_iter().flatten().flatten();
    let helm = installed
        .map(|entry| entry.path().join("helm"))
        .find(|path| path.is_file());
    helm.unwrap_or_else(|| panic!("no Helm 3 in {}: run `cargo xtask chart`", tools.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrade_with_helm_3_adopts_the_definitions_and_rollback_keeps_them() {
    let rig = Rig::bare(&[]).await;
    let helm = || {
        let mut helm = Command::new(helm3());
        for (name, value) in rig.cluster().helm().get_envs() {
            helm.env(name, value.unwrap());
        }
        helm
    };
    Rig::install_first_release(helm());
    let definition = || {
        let name = "bedrockaccesses.bedrockaccess.dev";
        let mut kubectl = rig.cluster().kubectl();
        let output = kubectl.args(["get", "crd", name, "-o", "json"]).output();
        let object: serde_json::Value = serde_json::from_slice(&output.unwrap().stdout).unwrap();
        object["metadata"].clone()
    };
    let uid = definition()["uid"].clone();
    assert!(definition()["labels"].is_null());

    run_scripts(UPGRADE_GUIDE, "helm 3", rig.cluster(), &helm());
    let adopted = definition();
    assert_eq!(adopted["labels"]["app.kubernetes.io/managed-by"], "Helm");
    assert_eq!(adopted["annotations"]["helm.sh/resource-policy"], "keep");

    let mut rollback = helm();
    rollback.args(["rollback", "bedrock-access", "1"]);
    let rolled_back = rollback.args(["--namespace", "bedrock-access-system"]);
    assert!(rolled_back.output().unwrap().status.success());
    assert_eq!(definition()["uid"], uid);
}
