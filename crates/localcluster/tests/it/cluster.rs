//! The cluster tier: pods, tokens, names and Services of one cluster, and a complete clean-up.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Service};
use kube::Api;
use kube::api::PostParams;
use localcluster::{Cluster, Error, ImageArchive, Options, Relay};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::{eventually, is_left_to_full, mounts_of, processes_of};

const IMAGE: &str = "localhost/probe:1";

#[tokio::test]
async fn pods_run_with_tokens_names_and_balanced_services_and_are_removed_completely() {
    if is_left_to_full() {
        return;
    }
    let options = Options {
        name: Some("test-cluster".to_owned()),
        ..Options::default()
    };
    let cluster = Cluster::start(options).await.unwrap();
    let directory = cluster.api().kubeconfig().parent().unwrap().to_owned();
    load_probe(&cluster).await;
    deploy(&cluster).await;
    let service = service_address(&cluster).await;
    let relay = cluster.relay(&format!("{service}:8000")).unwrap();

    // Every replica answers through the Service, from outside and from inside.
    let mut outside = BTreeSet::new();
    let mut inside = BTreeSet::new();
    let start = Instant::now();
    while outside.len() < 2 || inside.len() < 2 {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "only {outside:?} and {inside:?} answered"
        );
        outside.extend(ask(&relay, "/name").await);
        inside.extend(ask(&relay, "/get?of=http://probe.team.svc:8000/name").await);
    }

    // Names of Services resolve, in full and without the cluster's domain; others do not.
    for name in ["probe", "probe.team.svc", "probe.team.svc.cluster.local"] {
        assert_eq!(
            ask(&relay, &format!("/resolve?of={name}")).await.unwrap(),
            service,
            "{name}"
        );
    }
    ask(&relay, "/resolve?of=nothing.team.svc.cluster.local")
        .await
        .unwrap_err();

    // Pods reach the API server, whose certificate the probe has no reason to trust.
    let refused = ask(&relay, "/get?of=https://kubernetes.default.svc/version")
        .await
        .unwrap_err();
    assert!(
        refused.contains("certificate signed by unknown authority"),
        "{refused}"
    );

    // The kubelet projected a token for the audience that was asked for.
    let token = ask(&relay, "/file?of=/var/run/secrets/token/token")
        .await
        .unwrap();
    let claims = URL_SAFE_NO_PAD
        .decode(token.split('.').nth(1).unwrap())
        .unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], json!(["sts.amazonaws.com"]));
    assert_eq!(claims["sub"], "system:serviceaccount:team:default");

    // kubectl reaches the kubelet through the API server.
    let mut exec = cluster.api().kubectl();
    exec.args([
        "--namespace",
        "team",
        "exec",
        "deployment/probe",
        "--",
        "/probe",
        "--help",
    ]);
    let printed = exec.output().unwrap();
    assert!(
        String::from_utf8_lossy(&printed.stderr).contains("address already in use"),
        "{printed:?}"
    );

    // A program of this machine can be run where the Service is.
    let mut inside = cluster.netns_command("sh");
    inside.args(["-c", "ip -brief address show dev node0"]);
    let printed = String::from_utf8(inside.output().unwrap().stdout).unwrap();
    assert!(printed.contains("10.243.0.1/24"), "{printed}");

    // The exit of a component is reported at once, with its name.
    drop(relay);
    cluster.api().check().unwrap();
    kill("kubelet", &directory);
    let mut kept = None;
    eventually("the exit of the kubelet is reported", || {
        let Err(Error::ComponentEnded { component, log, .. }) = cluster.api().check() else {
            return false;
        };
        kept = log.path;
        component == "kubelet"
    })
    .await;
    std::fs::remove_file(kept.unwrap()).unwrap();

    cluster.shutdown().await.unwrap();
    assert_nothing_left(&directory, "localcluster-test-cluster");
}

#[tokio::test]
async fn clean_up_after_a_killed_owner_removes_node_pods_mounts_and_cgroups() {
    if is_left_to_full() {
        return;
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_localcluster"))
        .args(["up", "--tier", "cluster", "--name", "test-cluster-killed"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let run = || {
        localcluster::running()
            .unwrap()
            .into_iter()
            .find(|run| run.name == "test-cluster-killed")
    };
    eventually("the cluster is ready", || {
        run().is_some_and(|run| run.kubeconfig.is_some())
    })
    .await;
    let directory = run()
        .unwrap()
        .kubeconfig
        .unwrap()
        .parent()
        .unwrap()
        .to_owned();
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("the directory is removed", || !directory.exists()).await;
    assert_nothing_left(&directory, "localcluster-test-cluster-killed");
}

/// Kills the cluster's own program of that name in the run of `directory`.
fn kill(program: &str, directory: &Path) {
    let directory = directory.display().to_string();
    let pid = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| {
            entry
                .ok()?
                .file_name()
                .into_string()
                .ok()?
                .parse::<u32>()
                .ok()
        })
        .find(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                let line = String::from_utf8_lossy(&line);
                line.contains(&format!("/cluster\0{program}\0")) && line.contains(&directory)
            })
        })
        .unwrap();
    let mut command = Command::new("kill");
    assert!(
        command
            .args(["-KILL", &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

#[track_caller]
fn assert_nothing_left(directory: &Path, cgroup: &str) {
    assert_eq!(processes_of(directory), Vec::<String>::new());
    assert_eq!(mounts_of(directory), Vec::<String>::new());
    assert!(!directory.exists(), "{} still exists", directory.display());
    for tree in std::fs::read_dir("/sys/fs/cgroup").unwrap() {
        let left = tree.unwrap().path().join(cgroup);
        assert!(!left.exists(), "{} still exists", left.display());
    }
}

async fn load_probe(cluster: &Cluster) {
    let directory = tempfile::tempdir().unwrap();
    let (program, archive) = (
        directory.path().join("probe"),
        directory.path().join("probe.tar"),
    );
    let built = Command::new("go")
        .env("CGO_ENABLED", "0")
        .args(["build", "-o"])
        .arg(&program)
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe/main.go"))
        .status()
        .unwrap();
    assert!(built.success());
    ImageArchive::new(IMAGE, &["/probe"])
        .program("probe", &program)
        .write(&archive)
        .unwrap();
    cluster.load_image(&archive).await.unwrap();
}

/// Two replicas and a Service called probe in the namespace team, ready.
async fn deploy(cluster: &Cluster) {
    let client = cluster.api().client().await.unwrap();
    create(
        &Api::<Namespace>::all(client.clone()),
        json!({ "metadata": { "name": "team" } }),
    )
    .await;
    let services = Api::<Service>::namespaced(client.clone(), "team");
    let ports = json!([{ "port": 8000 }]);
    let service = json!({
        "metadata": { "name": "probe" },
        "spec": { "selector": { "app": "probe" }, "ports": ports },
    });
    create(&services, service).await;
    let deployments = Api::<Deployment>::namespaced(client, "team");
    create(
        &deployments,
        json!({
            "metadata": { "name": "probe" },
            "spec": {
                "replicas": 2,
                "selector": { "matchLabels": { "app": "probe" } },
                "template": {
                    "metadata": { "labels": { "app": "probe" } },
                    "spec": {
                        "securityContext": {
                            "runAsNonRoot": true, "fsGroup": 65532, "seccompProfile": { "type": "RuntimeDefault" },
                        },
                        "containers": [{
                            "name": "probe",
                            "image": IMAGE,
                            "imagePullPolicy": "Never",
                            "securityContext": {
                                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
                                "readOnlyRootFilesystem": true,
                            },
                            "readinessProbe": { "httpGet": { "path": "/name", "port": 8000 }, "periodSeconds": 1 },
                            "resources": { "limits": { "memory": "64Mi", "cpu": "500m" } },
                            "volumeMounts": [{ "name": "token", "mountPath": "/var/run/secrets/token" }],
                        }],
                        "volumes": [{
                            "name": "token",
                            "projected": { "sources": [{ "serviceAccountToken": {
                                "audience": "sts.amazonaws.com", "expirationSeconds": 3600, "path": "token",
                            } }] },
                        }],
                    },
                },
            },
        }),
    )
    .await;
    let start = Instant::now();
    loop {
        let status = deployments
            .get("probe")
            .await
            .unwrap()
            .status
            .unwrap_or_default();
        if status.ready_replicas == Some(2) {
            return;
        }
        let described = || {
            let mut kubectl = cluster.api().kubectl();
            kubectl.args(["describe", "pods", "--namespace", "team"]);
            String::from_utf8(kubectl.output().unwrap().stdout).unwrap()
        };
        assert!(
            start.elapsed() < Duration::from_mins(2),
            "not ready: {status:?}\n{}",
            described()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn service_address(cluster: &Cluster) -> String {
    let services = Api::<Service>::namespaced(cluster.api().client().await.unwrap(), "team");
    services
        .get("probe")
        .await
        .unwrap()
        .spec
        .unwrap()
        .cluster_ip
        .unwrap()
}

async fn create<K>(api: &Api<K>, object: Value)
where
    K: kube::Resource + Clone + std::fmt::Debug + Serialize + DeserializeOwned,
{
    api.create(
        &PostParams::default(),
        &serde_json::from_value(object).unwrap(),
    )
    .await
    .unwrap();
}

/// The body of the answer, or of the refusal.
async fn ask(relay: &Relay, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(relay.address())
        .await
        .map_err(|error| error.to_string())?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: probe\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .map_err(|error| error.to_string())?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("no answer: {answer:?}"))?;
    if head.split(' ').nth(1) == Some("200") {
        Ok(body.to_owned())
    } else {
        Err(body.to_owned())
    }
}
