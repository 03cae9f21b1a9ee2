//! Causes each fault and ends it.

use std::{fs, io::Write as _, path::PathBuf, process::Command, time::Duration};

use http::Method;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{
    super::{
        documents::{ACCESS, FIRST_KEY, GATEWAY, OPERATORS, ROLES, SECOND_KEY, TEAM, keys},
        surfaces::FAST,
        traffic::Traffic,
        world::World,
    },
    Failure, Fault,
};
use crate::support::{eventually, http as plain};

/// Operations of STS and Bedrock that fail.
const EXCHANGE: &str = "AssumeRoleWithWebIdentity";
const STREAMS: [&str; 2] = ["ConverseStream", "InvokeModelWithResponseStream"];
const BEDROCK: [&str; 4] = [
    "Converse",
    "ConverseStream",
    "InvokeModel",
    "InvokeModelWithResponseStream",
];

/// How long a log line may be in the memory of a gateway.
const UNWRITTEN: Duration = Duration::from_secs(1);

/// Lasts between these numbers of seconds.
async fn last(from: u64, to: u64) {
    sleep(Duration::from_millis(fastrand::u64(from * 1000..to * 1000))).await;
}

impl World {
    /// Injects a fault and ends it.
    pub(in super::super) async fn inject(&self, fault: Fault, traffic: &Traffic) {
        match fault {
            Fault::PodDeleted => self.delete_gateway_pod().await,
            Fault::PodKilled => self.kill_gateway().await,
            Fault::Rollout => {
                let stamp = fastrand::u32(..).to_string();
                let annotations = json!({ "gateway": { "podAnnotations": { "chaos": stamp } } });
                self.patch_spec(annotations).await;
                last(1, 3).await;
            }
            Fault::OperatorKilled => self.kill_operators().await,
            Fault::ApiServerStopped => {
                self.cluster.api().stop_api_server().await.unwrap();
                last(3, 15).await;
                self.cluster.api().start_api_server().await.unwrap();
            }
            Fault::RoleChanged => {
                let role = ROLES[fastrand::usize(..2)];
                self.patch_spec(json!({ "identity": { "irsa": { "roleArn": role } } }))
                    .await;
                last(1, 3).await;
            }
            Fault::ModelsChanged => self.change_models().await,
            Fault::InvalidSpec => self.apply_invalid_specs(),
            Fault::TornConfiguration => self.tear_configuration().await,
            Fault::KeysRotated => self.rotate_keys(traffic).await,
            Fault::SessionsRevoked => self.lose_sessions("revoke", traffic).await,
            Fault::SessionsForgotten => self.lose_sessions("forget", traffic).await,
            // Credentials outlive it: no request may fail.
            Fault::Sts(failure) => {
                let action = failure.action("ServiceUnavailable");
                self.fail(&[EXCHANGE], action, None).await;
            }
            Fault::Bedrock(failure) => {
                let operations: &[&str] = match failure {
                    Failure::StreamsBreak => &STREAMS,
                    _ => &BEDROCK,
                };
                let times = (!failure.lasts()).then(|| fastrand::u64(1..8));
                traffic.outage(true);
                let action = failure.action("ServiceUnavailableException");
                self.fail(operations, action, times).await;
                traffic.outage(false);
            }
            Fault::ClockSkew => {
                let minutes = fastrand::i64(2..90) * if fastrand::bool() { 1 } else { -1 };
                self.skew_clock(minutes * 60).await;
                last(5, 15).await;
                self.skew_clock(0).await;
            }
            Fault::StoreRestarted => {
                self.signal_store("-KILL");
                last(1, 6).await;
                self.restart_store().await;
            }
            Fault::StoreStopped => {
                self.signal_store("-STOP");
                last(2, 8).await;
                self.signal_store("-CONT");
            }
            Fault::DnsStopped => {
                traffic.outage(true);
                self.cluster.stop_dns().await.unwrap();
                last(3, 10).await;
                self.cluster.start_dns().await.unwrap();
                traffic.outage(false);
            }
            Fault::DiskFull => self.fill_disk(traffic).await,
        }
    }

    /// Sets how far the clock of AWS is ahead.
    async fn skew_clock(&self, seconds: i64) {
        let skew = json!({ "skew_seconds": seconds });
        self.aws(Method::PUT, "clock", &skew).await;
    }

    /// Lets calls of AWS fail: `times` of each operation, or all of them for a time.
    async fn fail(&self, operations: &[&str], action: Value, times: Option<u64>) {
        for operation in operations {
            let fault = json!({ "operation": operation, "times": times, "action": action });
            self.aws(Method::POST, "faults", &fault).await;
        }
        last(3, 12).await;
        self.aws(Method::DELETE, "faults", &json!({})).await;
    }

    async fn delete_gateway_pod(&self) {
        let pods = self.gateway_pods().await;
        let name = fastrand::choice(&pods).unwrap().name_any();
        let api: Api<Pod> = Api::namespaced(self.client.clone(), TEAM);
        api.delete(&name, &DeleteParams::default()).await.unwrap();
        last(1, 3).await;
    }

    /// Kills the process of a gateway, as the kernel does when memory runs out.
    async fn kill_gateway(&self) {
        // The newest log lines are still in its memory.
        let start = Instant::now() - UNWRITTEN;
        let pods = self.gateway_pods().await;
        let uid = fastrand::choice(&pods).unwrap().uid().unwrap();
        let id = process_of(&uid).unwrap_or_else(|| panic!("pod {uid} has no gateway process"));
        let killed = Command::new("kill").args(["-KILL", &id]).status().unwrap();
        assert!(killed.success());
        last(1, 2).await;
        self.note_unlogged(start);
    }

    async fn kill_operators(&self) {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATORS);
        let now = DeleteParams::default().grace_period(0);
        for pod in pods.list(&ListParams::default()).await.unwrap().items {
            let _ = pods.delete(&pod.name_any(), &now).await;
        }
        last(1, 5).await;
    }

    /// Adds a model, which must be served soon, and removes it.
    async fn change_models(&self) {
        let models = |more: &[Value]| {
            let fixed = json!([
                { "name": "fast", "modelId": "us.amazon.nova-2-lite-v1:0" },
                { "name": "claude", "modelId": "us.anthropic.claude-sonnet-4-5-20250929-v1:0" },
            ]);
            let all = [fixed.as_array().unwrap().as_slice(), more].concat();
            json!({ "models": all })
        };
        let name = format!("model-{}", fastrand::u32(..));
        let added = json!({ "name": name, "modelId": "us.amazon.nova-2-lite-v1:0" });
        self.patch_spec(models(&[added])).await;
        eventually("the added model is listed", || async {
            let url = format!("{}/v1/models", self.gateway_url());
            let key = format!("Bearer {FIRST_KEY}");
            let second = format!("Bearer {SECOND_KEY}");
            for key in [key, second] {
                let headers = [("authorization", key.as_str())];
                let answer = plain::request(Method::GET, &url, &headers, "").await?;
                if answer.text().contains(&name) {
                    return Ok(());
                }
            }
            Err("it is not".to_owned())
        })
        .await;
        self.patch_spec(models(&[])).await;
    }

    /// Specs that the API server or the webhook rejects.
    fn apply_invalid_specs(&self) {
        for patch in [
            json!({ "spec": { "region": "moon-1" } }),
            json!({ "spec": { "identity": { "irsa": { "roleArn": "First" } } } }),
            json!({ "spec": { "models": [{ "name": "fast", "modelId": "" }] } }),
            json!({ "spec": { "gateway": { "replicas": -1 } } }),
        ] {
            let (accepted, text) = self.kubectl(&[
                "--namespace",
                TEAM,
                "patch",
                "bedrockaccess",
                ACCESS,
                "--type",
                "merge",
                "-p",
                &patch.to_string(),
            ]);
            assert!(!accepted, "{patch} is accepted: {text}");
        }
    }

    /// Ends all sessions. Each gateway pod replaces its own for a request, before another fault stops STS.
    async fn lose_sessions(&self, how: &str, traffic: &Traffic) {
        self.aws(Method::POST, &format!("sessions/{how}"), &json!({}))
            .await;
        let messages = json!([{ "role": "user", "content": "Are you there?" }]);
        let body = json!({ "model": FAST, "messages": messages }).to_string();
        let bearer = format!("Bearer {}", traffic.key().await);
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        for pod in self.gateway_pods().await {
            let Some(address) = pod.status.and_then(|status| status.pod_ip) else {
                continue;
            };
            let relay = self.cluster.relay(&format!("{address}:8000")).unwrap();
            let url = format!("http://{}/v1/chat/completions", relay.address());
            eventually("the gateway replaces its session", || async {
                match plain::request(Method::POST, &url, &headers, body.clone()).await {
                    Ok(answer) if answer.status.is_success() => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
        }
    }

    /// Writes half a document into the gateway's ConfigMap; the operator corrects it.
    async fn tear_configuration(&self) {
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), TEAM);
        let before = maps.get(GATEWAY).await.unwrap().data.unwrap();
        for (name, text) in &before {
            let half: String = text.chars().take(text.chars().count() / 2).collect();
            let patch = Patch::Merge(json!({ "data": { name: half } }));
            maps.patch(GATEWAY, &PatchParams::default(), &patch)
                .await
                .unwrap();
        }
        eventually("the operator corrects the ConfigMap", || async {
            let now = maps.get(GATEWAY).await.map_err(|error| error.to_string())?;
            let now = now.data.unwrap_or_default();
            (now == before)
                .then_some(())
                .ok_or_else(|| format!("{now:?}"))
        })
        .await;
    }

    /// Adds a key, uses it once all gateways know it, and removes the other.
    async fn rotate_keys(&self, traffic: &Traffic) {
        let both = [("first", FIRST_KEY), ("second", SECOND_KEY)];
        let next = *fastrand::choice(&both).unwrap();
        self.apply(&[keys(&both)]);
        self.wait_for_key(next.1, true).await;
        traffic.use_key(next.1).await;
        drop(traffic.pause().await);
        let old = if next == both[0] { both[1] } else { both[0] };
        let (removed, text) = self.kubectl(&[
            "--namespace",
            TEAM,
            "patch",
            "secret",
            "keys",
            "--type",
            "json",
            "-p",
            &json!([{ "op": "remove", "path": format!("/data/{}", old.0) }]).to_string(),
        ]);
        assert!(removed, "{text}");
        self.wait_for_key(old.1, false).await;
    }

    /// Waits until every gateway pod accepts or rejects a key.
    async fn wait_for_key(&self, key: &str, accepted: bool) {
        let end = Instant::now() + Duration::from_mins(3);
        for pod in self.gateway_pods().await {
            let Some(address) = pod.status.and_then(|status| status.pod_ip) else {
                continue;
            };
            let relay = self.cluster.relay(&format!("{address}:8000")).unwrap();
            let url = format!("http://{}/v1/models", relay.address());
            let bearer = format!("Bearer {key}");
            let headers = [("authorization", bearer.as_str())];
            loop {
                let answer = plain::request(Method::GET, &url, &headers, "").await;
                if answer
                    .as_ref()
                    .is_ok_and(|answer| answer.status.is_success() == accepted)
                {
                    break;
                }
                assert!(Instant::now() < end, "{address}: {answer:?} for a key");
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// Fills the file system of the logs. Requests are served; their lines are lost, and the counters have them.
    async fn fill_disk(&self, traffic: &Traffic) {
        // Counters of a pod that ends would be missing.
        self.settled().await;
        let paused = traffic.pause().await;
        // The lines of the requests before are on their way.
        sleep(Duration::from_secs(1)).await;
        let start = Instant::now();
        let before = self.counted().await;
        // In the directory of a pod: the kubelet removes other files.
        let pod = self.gateway_pods().await[0].name_any();
        let is_of_pod = |path: &PathBuf| path.to_string_lossy().contains(&pod);
        let directories = fs::read_dir(self.cluster.pod_logs()).unwrap();
        let mut directories = directories.map(|entry| entry.unwrap().path());
        let path = directories.find(is_of_pod).unwrap().join("fill");
        let mut file = fs::File::create(&path).unwrap();
        let block = vec![0; 1 << 20];
        while file.write_all(&block).is_ok() {}
        while file.write_all(b"0").is_ok() {}
        drop(file);
        let served = traffic.good_so_far();
        drop(paused);
        last(4, 10).await;
        let paused = traffic.pause().await;
        let served = traffic.good_so_far() - served;
        let counted = self.counted().await - before;
        fs::remove_file(&path).unwrap();
        self.note_unlogged(start);
        drop(paused);
        assert!(
            counted >= served && served > 0,
            "while the disk was full, clients got {served} responses and gateways counted {counted}"
        );
    }

    /// Successful requests by the counters of all gateway pods.
    async fn counted(&self) -> u64 {
        let mut sum = 0;
        for pod in self.gateway_pods().await {
            let address = pod.status.and_then(|status| status.pod_ip).unwrap();
            let relay = self.cluster.relay(&format!("{address}:9090")).unwrap();
            let url = format!("http://{}/metrics", relay.address());
            let text = plain::get(&url).await.unwrap().text();
            sum += text
                .lines()
                .filter(|line| {
                    line.starts_with("bedrock_gateway_requests_total{")
                        && line.contains("status=\"200\"")
                })
                .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
                .sum::<u64>();
        }
        sum
    }
}

/// The gateway's process in the pod with this UID.
fn process_of(uid: &str) -> Option<String> {
    fs::read_dir("/proc")
        .unwrap()
        .filter_map(Result::ok)
        .find_map(|entry| {
            let cgroup = fs::read_to_string(entry.path().join("cgroup")).ok()?;
            let name = fs::read_to_string(entry.path().join("comm")).ok()?;
            let in_pod = cgroup.contains(uid) || cgroup.contains(&uid.replace('-', "_"));
            (in_pod && name.starts_with("bedrock-gatewa"))
                .then(|| entry.file_name().into_string().ok())?
        })
}
