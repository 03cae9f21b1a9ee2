//! `kubectl bedrock` against a real API server: status, check, iam and bundle, also for users with few permissions.

use std::{collections::BTreeMap, io::Read as _, process::ExitCode};

use k8s_openapi::api::{
    admissionregistration::v1::ValidatingWebhookConfiguration,
    core::v1::Pod,
    rbac::v1::{Role, RoleBinding},
};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use kubectl_bedrock::CommandLine;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{
    admission::{configure, start_operator},
    policies,
    rig::{Rig, TEAM, sample_spec},
};
use crate::support::{eventually, free_address};

/// A value of an app that must not be in an archive.
const SECRET: &str = "hunter2-of-the-app";

/// Runs a command as an administrator: whether its exit code is 0, and what it prints.
async fn run(rig: &Rig, arguments: &[&str]) -> (bool, String) {
    match try_run(rig, arguments).await {
        Ok(result) => result,
        Err(error) => panic!("{arguments:?}: {error:#}"),
    }
}

async fn try_run(rig: &Rig, arguments: &[&str]) -> anyhow::Result<(bool, String)> {
    let kubeconfig = rig.cluster().kubeconfig();
    let kubeconfig = format!("--kubeconfig={}", kubeconfig.display());
    let namespace = format!("--namespace={TEAM}");
    let program = ["kubectl-bedrock", &kubeconfig, &namespace];
    let words = program.iter().chain(arguments);
    let words = words.map(|word| (*word).to_owned());
    let mut out = anstream::StripStream::new(Vec::new());
    let code = CommandLine::of(words).unwrap().run(&mut out).await?;
    let succeeded = format!("{code:?}") == format!("{:?}", ExitCode::SUCCESS);
    Ok((succeeded, String::from_utf8(out.into_inner()).unwrap()))
}

async fn json_of(rig: &Rig, arguments: &[&str]) -> Value {
    let (_, text) = run(rig, &[arguments, &["-o", "json"]].concat()).await;
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// The lines of a section of `check`, each as its state and its message.
fn section(report: &Value, name: &str) -> Vec<(String, String)> {
    let sections = report["sections"].as_array().unwrap();
    let found = sections.iter().find(|section| section["name"] == name);
    let checks = found.unwrap()["checks"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    checks
        .iter()
        .map(|line| (text(&line["state"]), text(&line["message"])))
        .collect()
}

fn has(lines: &[(String, String)], state: &str, message: &str) -> bool {
    lines
        .iter()
        .any(|(found, text)| found == state && text.contains(message))
}

async fn create<K>(api: Api<K>, object: &Value)
where
    K: kube::Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let object = serde_json::from_value(object.clone()).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_is_missing_and_how_to_fix_it() {
    let mut rig = Rig::without_operator().await;
    let (succeeded, text) = run(&rig, &["check"]).await;
    assert!(!succeeded, "{text}");
    assert!(
        text.contains("no Deployment of the operator exists"),
        "{text}"
    );
    assert!(
        text.contains("Fix: install the operator: `helm install"),
        "{text}"
    );
    let report = json_of(&rig, &["check"]).await;
    let lines = section(&report, "definitions");
    assert!(
        lines.iter().all(|(state, _)| state == "ok") && lines.len() == 2,
        "{lines:?}"
    );
    let lines = section(&report, "permissions");
    assert!(
        has(&lines, "ok", "has the permissions of the operator"),
        "{lines:?}"
    );
    assert!(
        has(&section(&report, "operator"), "error", "no leader"),
        "{report}"
    );

    // With its webhook.
    let webhook = free_address();
    configure(&rig, webhook).await;
    start_operator(&mut rig, webhook).await;
    eventually("the webhook responds", || async {
        let report = json_of(&rig, &["check"]).await;
        let lines = section(&report, "webhooks");
        has(&lines, "ok", "the validation webhook responds")
            .then_some(())
            .ok_or(format!("{lines:?}"))
    })
    .await;
    rig.stop_operator().await;
    let lines = section(&json_of(&rig, &["check"]).await, "webhooks");
    assert!(
        has(&lines, "error", "the validation webhook does not respond"),
        "{lines:?}"
    );

    // Without the CA, as before the operator or cert-manager sets it.
    let without = json!([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]);
    let patch: Patch<Value> = Patch::Json(serde_json::from_value(without).unwrap());
    Api::<ValidatingWebhookConfiguration>::all(rig.client.clone())
        .patch("bedrock-access-validation", &PatchParams::default(), &patch)
        .await
        .unwrap();
    let lines = section(&json_of(&rig, &["check"]).await, "webhooks");
    assert!(has(&lines, "error", "has no CA"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn status_iam_and_bundle_describe_an_endpoint() {
    let rig = Rig::start().await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    rig.children("chat-gateway").await;
    rig.condition("chat", "Ready", "False").await;
    let (_, text) = run(&rig, &["status", "chat"]).await;
    for part in [
        "BedrockAccess team-a/chat",
        "Deployment chat-gateway  0/2 ready",
        "Pod chat-gateway-",
        "fast  us.amazon.nova-2-lite-v1:0 in us-east-1",
        "ServiceAccount app",
        "Credentials irsa arn:aws:iam::123456789012:role/BedrockRole",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    rig.mark_available("chat-gateway").await;
    rig.condition("chat", "Ready", "True").await;
    let (succeeded, text) = run(&rig, &["status"]).await;
    assert!(
        succeeded && text.contains("Deployment chat-gateway  2/2 ready"),
        "{text}"
    );
    let reports = json_of(&rig, &["status", "-A"]).await;
    assert_eq!(reports[0]["reason"], "Ready", "{reports}");

    let (_, text) = run(&rig, &["iam", "chat", "--kind", "trust"]).await;
    let issuer = localcluster::ISSUER.trim_start_matches("https://");
    assert!(text.contains(&format!("{issuer}:sub")), "{text}");
    assert!(
        text.contains("system:serviceaccount:team-a:chat-gateway"),
        "{text}"
    );
    let (_, text) = run(&rig, &["iam", "chat"]).await;
    assert!(text.contains("bedrock:InvokeModel"), "{text}");
    bundle(&rig).await;

    let europe = json!({"namespaces": {"names": ["team-*"]}, "regions": ["eu-*"]});
    policies::put(&rig, "europe", &europe).await.unwrap();
    rig.condition("chat", "Accepted", "False").await;
    let (succeeded, text) = run(&rig, &["status", "chat"]).await;
    assert!(!succeeded, "{text}");
    for part in [
        "NotAllowed",
        "us-east-1 is not allowed (allowed by regions: eu-*)",
        "(policies of the namespace: europe)",
        "Fix:  The message names the field",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    let lines = section(&json_of(&rig, &["check"]).await, "bedrockaccesses");
    assert!(has(&lines, "error", "team-a/chat: NotAllowed"), "{lines:?}");
}

/// Writes an archive next to an app with a secret in its environment.
async fn bundle(rig: &Rig) {
    let app = json!({
        "metadata": {
            "name": "app-1",
            "labels": {"bedrockaccess.dev/inject": "chat"},
            "annotations": {"example.com/config": SECRET},
        },
        "spec": {"containers": [{
            "name": "app", "image": "app:1", "args": [SECRET],
            "env": [{"name": "DATABASE_URL", "value": SECRET}],
        }]},
    });
    create(rig.api::<Pod>(), &app).await;
    let secret = json!({"metadata": {"name": "keys"}, "stringData": {"app": SECRET}});
    create(rig.api::<k8s_openapi::api::core::v1::Secret>(), &secret).await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("bundle.tar");
    let path = path.to_str().unwrap();
    let written = json_of(rig, &["bundle", "chat", "--file", path]).await;
    let file = std::fs::File::open(path).unwrap();
    let mut archive = tar::Archive::new(file);
    let mut files = BTreeMap::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        files.insert(name, text);
    }
    assert_eq!(files.len(), written["entries"].as_array().unwrap().len());
    for (name, text) in &files {
        assert!(!text.contains(SECRET), "{name} contains a secret:\n{text}");
        assert!(!text.contains("kind: Secret\n"), "{name} contains a Secret");
    }
    for (name, part) in [
        (
            "bedrockaccesses/team-a/chat/bedrockaccess.yaml",
            "kind: BedrockAccess",
        ),
        ("bedrockaccesses/team-a/chat/owned.yaml", "kind: Deployment"),
        (
            "bedrockaccesses/team-a/chat/pods.yaml",
            "bedrock-gateway:test",
        ),
        ("bedrockaccesses/team-a/chat/sidecars.yaml", "name: app-1"),
        ("bedrockaccesses/team-a/chat/events.yaml", "reason: Created"),
        ("status.txt", "BedrockAccess team-a/chat"),
        ("check.txt", "definitions"),
        ("definitions.yaml", "bedrockaccesses.bedrockaccess.dev"),
        ("versions.yaml", "apiServer: v1."),
    ] {
        let text = files.get(&format!("bedrock-bundle/{name}"));
        let text = text.unwrap_or_else(|| panic!("no {name} in {:?}", files.keys()));
        assert!(text.contains(part), "{part} is not in {name}:\n{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_what_their_permissions_allow() {
    let rig = Rig::without_operator().await;
    rig.apply("chat", &sample_spec()).await.unwrap();
    let user = "--as=system:serviceaccount:team-a:viewer";
    let refused = try_run(&rig, &[user, "status"])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("failed to list BedrockAccess objects"),
        "{refused}"
    );
    assert!(
        refused.contains("cannot list resource \"bedrockaccesses\""),
        "{refused}"
    );

    let role = json!({
        "metadata": {"name": "viewer"},
        "rules": [{"apiGroups": ["bedrockaccess.dev"], "resources": ["bedrockaccesses"], "verbs": ["get", "list"]}],
    });
    create(rig.api::<Role>(), &role).await;
    let binding = json!({
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": TEAM}],
    });
    create(rig.api::<RoleBinding>(), &binding).await;
    let (succeeded, text) = run(&rig, &[user, "status", "chat"]).await;
    assert!(!succeeded, "no operator has seen it: {text}");
    for part in [
        "! Not read:  deployments: ",
        "! Not read:  pods: ",
        "you may not list BedrockAccessPolicy objects",
        "run `kubectl bedrock check`",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    // What the user may not check is a warning.
    let report = json_of(&rig, &[user, "check"]).await;
    for name in ["definitions", "operator", "permissions", "bedrockaccesses"] {
        let lines = section(&report, name);
        assert!(has(&lines, "warning", "not checked"), "{name}: {lines:?}");
    }
    let missing = try_run(&rig, &["status", "other"])
        .await
        .unwrap_err()
        .to_string();
    assert!(
        missing.contains("no BedrockAccess other in namespace team-a"),
        "{missing}"
    );
}
