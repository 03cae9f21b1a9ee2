//! The API tier.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use localcluster::{ApiServer, AuditEvent, Error, ISSUER, Options};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::{eventually, mounts_of, processes_of};

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name } })).unwrap()
}

fn directory_of(server: &ApiServer) -> PathBuf {
    server.kubeconfig().parent().unwrap().to_owned()
}

fn assert_nothing_left(directory: &Path) {
    assert_eq!(processes_of(directory), Vec::<String>::new());
    assert_eq!(mounts_of(directory), Vec::<String>::new());
    assert!(
        !directory.exists(),
        "{} is still there",
        directory.display()
    );
}

#[tokio::test]
async fn two_started_at_once_are_apart_and_leave_nothing_behind() {
    let (first, second) = tokio::join!(
        ApiServer::start(Options::default()),
        ApiServer::start(Options::default())
    );
    let (first, second) = (first.unwrap(), second.unwrap());
    let maps = |client| Api::<ConfigMap>::namespaced(client, "default");
    maps(first.client().await.unwrap())
        .create(&PostParams::default(), &config_map("only-here"))
        .await
        .unwrap();
    assert!(
        maps(second.client().await.unwrap())
            .get_opt("only-here")
            .await
            .unwrap()
            .is_none()
    );
    first.check().unwrap();
    second.check().unwrap();

    let (first_directory, second_directory) = (directory_of(&first), directory_of(&second));
    assert!(
        processes_of(&first_directory).len() >= 4,
        "etcd, API server, controller manager and their helper"
    );
    first.shutdown().await.unwrap();
    assert_nothing_left(&first_directory);
    drop(second);
    assert_nothing_left(&second_directory);
}

#[tokio::test]
async fn token_request_yields_a_token_that_the_published_keys_describe() {
    let server = ApiServer::start(Options::default()).await.unwrap();
    let token = server
        .service_account_token(
            "default",
            "default",
            "sts.amazonaws.com",
            Duration::from_hours(1),
        )
        .await
        .unwrap();
    let part = |index: usize| -> Value {
        let encoded = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(encoded).unwrap()).unwrap()
    };
    let (header, claims) = (part(0), part(1));
    assert_eq!(header["alg"], "RS256");
    assert_eq!(claims["iss"], ISSUER);
    assert_eq!(claims["aud"], json!(["sts.amazonaws.com"]));
    assert_eq!(claims["sub"], "system:serviceaccount:default:default");
    assert_eq!(
        claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(),
        3600
    );
    let keys: Value = serde_json::from_str(&server.jwks().await.unwrap()).unwrap();
    assert!(
        keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .any(|key| key["kid"] == header["kid"]),
        "{keys}"
    );
    assert!(
        server
            .service_account_signing_key()
            .unwrap()
            .starts_with("-----BEGIN PRIVATE KEY-----")
    );

    let refused = server
        .service_account_token(
            "default",
            "missing",
            "sts.amazonaws.com",
            Duration::from_hours(1),
        )
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("default/missing"), "{refused}");
}

#[tokio::test]
async fn audit_log_counts_writes_and_api_server_comes_back_after_an_outage() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("audit.log");
    let options = Options {
        audit_log: Some(log.clone()),
        ..Options::default()
    };
    let server = ApiServer::start(options).await.unwrap();
    let maps = Api::<ConfigMap>::namespaced(server.client().await.unwrap(), "default");
    maps.create(&PostParams::default(), &config_map("counted"))
        .await
        .unwrap();
    maps.get("counted").await.unwrap();
    let ours = |event: &AuditEvent| event.user == "localcluster-admin" && event.name == "counted";
    let events = || AuditEvent::read(&log).unwrap();
    eventually("two requests in the audit log", || {
        events().iter().filter(|event| ours(event)).count() == 2
    })
    .await;
    let writes: Vec<_> = events()
        .into_iter()
        .filter(|event| ours(event) && event.is_write())
        .collect();
    assert_eq!(writes.len(), 1);
    assert_eq!(
        (writes[0].verb.as_str(), writes[0].resource.as_str()),
        ("create", "configmaps")
    );

    server.stop_api_server().await.unwrap();
    assert!(maps.get("counted").await.is_err());
    server.start_api_server().await.unwrap();
    maps.get("counted").await.unwrap();
    server.check().unwrap();
}

#[tokio::test]
async fn controller_manager_deletes_a_namespace_with_its_contents() {
    let server = ApiServer::start(Options::default()).await.unwrap();
    let client = server.client().await.unwrap();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespace =
        serde_json::from_value(json!({ "metadata": { "name": "short-lived" } })).unwrap();
    namespaces
        .create(&PostParams::default(), &namespace)
        .await
        .unwrap();
    let maps = Api::<ConfigMap>::namespaced(client, "short-lived");
    maps.create(&PostParams::default(), &config_map("inside"))
        .await
        .unwrap();
    namespaces
        .delete("short-lived", &DeleteParams::default())
        .await
        .unwrap();
    let start = Instant::now();
    while namespaces.get_opt("short-lived").await.unwrap().is_some() {
        assert!(
            start.elapsed() < Duration::from_mins(1),
            "the namespace is still there"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_part_that_ends_fails_the_start_at_once_and_quotes_its_log() {
    let start = Instant::now();
    let options = Options {
        api_server_arguments: vec!["--no-such-flag".to_owned()],
        ..Options::default()
    };
    let error = ApiServer::start(options).await.unwrap_err();
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "took {:?}",
        start.elapsed()
    );
    let Error::ComponentEnded { component, log, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(component, "kube-apiserver");
    assert!(
        error.to_string().contains("unknown flag: --no-such-flag"),
        "{error}"
    );
    let kept = log.path.as_ref().unwrap();
    assert!(
        std::fs::read_to_string(kept)
            .unwrap()
            .contains("--no-such-flag")
    );
    std::fs::remove_file(kept).unwrap();
}

/// `localcluster up --tier api`, running as a process of its own.
struct Up {
    child: Child,
    directory: PathBuf,
}

fn localcluster(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_localcluster"));
    command
        .args(arguments)
        .env_remove("KUBECONFIG")
        .stdin(Stdio::null());
    command
}

async fn up(name: &str) -> Up {
    let child = localcluster(&["up", "--tier", "api", "--name", name])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let kubeconfig = || {
        localcluster::running()
            .unwrap()
            .into_iter()
            .find(|run| run.name == name)
            .and_then(|run| run.kubeconfig)
    };
    eventually("the cluster is ready", || kubeconfig().is_some()).await;
    Up {
        child,
        directory: kubeconfig().unwrap().parent().unwrap().to_owned(),
    }
}

fn signal(signal: &str, pid: u32) {
    assert!(
        Command::new("kill")
            .args([signal, &pid.to_string()])
            .status()
            .unwrap()
            .success()
    );
}

/// The helper process of the run in `directory`.
fn helper_of(directory: &Path) -> u32 {
    let directory = directory.display().to_string();
    std::fs::read_dir("/proc")
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
                String::from_utf8_lossy(&line).contains(&format!("\0run\0{directory}\0"))
            })
        })
        .unwrap()
}

#[tokio::test]
async fn a_killed_owner_takes_every_process_and_file_along() {
    let mut run = up("test-owner-killed").await;
    signal("-KILL", run.child.id());
    run.child.wait().unwrap();
    eventually("nothing is left", || {
        processes_of(&run.directory).is_empty() && !run.directory.exists()
    })
    .await;
}

#[tokio::test]
async fn ctrl_c_ends_the_cluster_in_order() {
    let mut run = up("test-interrupted").await;
    signal("-INT", run.child.id());
    assert!(run.child.wait().unwrap().success());
    assert_nothing_left(&run.directory);
}

#[tokio::test]
async fn files_left_by_a_killed_helper_are_removed_at_the_next_start_of_the_name() {
    let mut run = up("test-helper-killed").await;
    // Or else the owner has time to see that the helper is gone, and to clean up itself.
    signal("-STOP", run.child.id());
    signal("-KILL", helper_of(&run.directory));
    signal("-KILL", run.child.id());
    run.child.wait().unwrap();
    eventually("no process is left", || {
        processes_of(&run.directory).is_empty()
    })
    .await;
    assert!(
        run.directory.exists(),
        "no process was left to remove the files"
    );
    std::fs::write(run.directory.join("mark"), "old").unwrap();

    let options = Options {
        name: Some("test-helper-killed".to_owned()),
        ..Options::default()
    };
    let server = ApiServer::start(options.clone()).await.unwrap();
    assert!(!run.directory.join("mark").exists());
    let refused = ApiServer::start(options).await.unwrap_err();
    assert!(
        matches!(&refused, Error::AlreadyRunning { owner, .. } if *owner == std::process::id()),
        "{refused}"
    );
    server.shutdown().await.unwrap();
    assert_nothing_left(&run.directory);
}
