//! The cluster of a run: a simulated AWS, a store of limits, the chart, a BedrockAccess.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
    time::Duration,
};

use api::v1alpha1::BedrockAccess;
use awsdouble::Call;
use http::Method;
use k8s_openapi::api::{
    apps::v1::Deployment,
    authentication::v1::{TokenRequest, TokenRequestSpec},
    coordination::v1::Lease,
    core::v1::{Pod, Service, ServiceAccount},
};
use kube::{
    Api, Client,
    api::{ListParams, Patch, PatchParams, PostParams},
};
use localcluster::{AuditEvent, Cluster, NODE_ADDRESS, Options, Relay};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use tokio::time::Instant;

use super::{
    accounting::Collector,
    documents::{ACCESS, APP, GATEWAY, OPERATORS, TEAM, access, account, prerequisites},
    report::{Accounting, print},
    traffic::Traffic,
};
use crate::api_tier::rig::run;
use crate::support::{clients::repository, eventually, http as plain};

/// Name of the operator's Deployment, Lease and ServiceAccount.
const OPERATOR: &str = "bedrock-access-operator";
/// Lifetime of AWS credentials in seconds, so short that they are replaced often.
const LIFETIME: &str = "120";
/// Size of the file system of logs, which a fault fills.
const LOG_BYTES: u64 = 64 << 20;
/// Longest time until the cluster is as before a fault.
const RECOVERY: Duration = Duration::from_mins(2);

/// A program beside the cluster, in its network namespace.
pub(super) struct Beside(Child);

impl Drop for Beside {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Everything of a run. Parts are dropped in this order.
pub(super) struct World {
    pub(super) client: Client,
    audit_log: PathBuf,
    pub(super) store: Mutex<Beside>,
    pub(super) unlogged: Mutex<Vec<(Instant, Instant)>>,
    collector: Collector,
    gateway: Relay,
    aws: Relay,
    _double: Beside,
    pub(super) cluster: Cluster,
    directory: tempfile::TempDir,
    /// The same time on both clocks.
    clocks: (Instant, OffsetDateTime),
}

impl World {
    /// Starts everything and waits until the gateway is ready.
    pub(super) async fn start(seed: u64, images: &[PathBuf]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let audit_log = directory.path().join("audit.log");
        let options = Options {
            name: Some(format!("chaos-{seed}")),
            audit_log: Some(audit_log.clone()),
            ..Options::default()
        };
        let cluster = Cluster::start(options).await.unwrap();
        cluster.limit_pod_logs(LOG_BYTES).unwrap();
        let collector = Collector::start(cluster.pod_logs(), TEAM);
        for image in images {
            cluster.load_image(image).await.unwrap();
        }
        let double = start_double(&cluster, directory.path()).await;
        let store = start_store(&cluster).await;
        let client = cluster.api().client().await.unwrap();
        apply(&cluster, directory.path(), &prerequisites());
        let mut helm = cluster.api().helm();
        helm.args(["install", "bedrock-access"])
            .arg(repository().join("charts/bedrock-access"))
            .args(["--namespace", OPERATORS, "--create-namespace"])
            .args(["--set", "replicaCount=2", "--wait", "--timeout", "120s"]);
        run(&mut helm);
        apply(&cluster, directory.path(), &[access()]);
        let aws = cluster.relay(&format!("{NODE_ADDRESS}:4566")).unwrap();
        let services: Api<Service> = Api::namespaced(client.clone(), TEAM);
        let address = eventually("the gateway has a Service", || async {
            let service = services
                .get(GATEWAY)
                .await
                .map_err(|error| error.to_string())?;
            let address = service.spec.and_then(|spec| spec.cluster_ip);
            address.ok_or_else(|| "no address".to_owned())
        })
        .await;
        let gateway = cluster.relay(&format!("{address}:8000")).unwrap();
        let world = Self {
            client,
            audit_log,
            store: Mutex::new(store),
            unlogged: Mutex::default(),
            collector,
            gateway,
            aws,
            _double: double,
            cluster,
            directory,
            clocks: (Instant::now(), now()),
        };
        world.is_as_before().await.unwrap();
        print("the gateway is ready");
        world
    }

    /// Base URL of the gateway's Service.
    pub(super) fn gateway_url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// Applies documents as an administrator.
    pub(super) fn apply(&self, documents: &[Value]) {
        apply(&self.cluster, self.directory.path(), documents);
    }

    /// kubectl with these arguments: whether it succeeded, and its output.
    pub(super) fn kubectl(&self, arguments: &[&str]) -> (bool, String) {
        let output = self
            .cluster
            .api()
            .kubectl()
            .args(arguments)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Prints the state of the cluster after a failure.
    pub(super) fn print_state(&self) {
        for arguments in [
            "get pods --all-namespaces --output wide",
            "--namespace bedrock-access-system get events --sort-by .lastTimestamp",
            "--namespace bedrock-access-system get lease --output yaml",
            "--namespace team-a get bedrockaccess chat --output wide",
            "--namespace bedrock-access-system logs --selector app.kubernetes.io/component=operator --tail 40 --prefix",
            "--namespace team-a logs deploy/chat-gateway --tail 10",
        ] {
            let arguments: Vec<&str> = arguments.split(' ').collect();
            print(&self.kubectl(&arguments).1);
        }
    }

    /// Changes the spec of the BedrockAccess.
    pub(super) async fn patch_spec(&self, spec: Value) {
        let objects: Api<BedrockAccess> = Api::namespaced(self.client.clone(), TEAM);
        let patch = Patch::Merge(json!({ "spec": spec }));
        objects
            .patch(ACCESS, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    /// Sends a request to the simulated AWS itself.
    pub(super) async fn aws(&self, method: Method, path: &str, body: &Value) {
        let url = format!("http://{}/_double/{path}", self.aws.address());
        let headers = [("content-type", "application/json")];
        let answer = plain::request(method, &url, &headers, body.to_string())
            .await
            .unwrap();
        assert!(answer.status.is_success(), "{path}: {}", answer.text());
    }

    /// Starts the store of limits again, without data.
    pub(super) async fn restart_store(&self) {
        let store = start_store(&self.cluster).await;
        *self.store.lock().unwrap() = store;
    }

    /// Sends a signal to the store of limits.
    pub(super) fn signal_store(&self, signal: &str) {
        let id = self.store.lock().unwrap().0.id().to_string();
        run(Command::new("kill").args([signal, &id]));
    }

    /// A token of the app that the gateway accepts.
    pub(super) async fn client_token(&self) -> Result<String, String> {
        self.token_source().await.token().await
    }

    pub(super) async fn token_source(&self) -> TokenSource {
        let objects: Api<BedrockAccess> = Api::namespaced(self.client.clone(), TEAM);
        let status = objects.get(ACCESS).await.unwrap().status.unwrap();
        TokenSource {
            accounts: Api::namespaced(self.client.clone(), TEAM),
            audience: status.audience.unwrap(),
        }
    }

    /// The operator's requests in the audit log.
    pub(super) fn operator_requests(&self) -> Vec<AuditEvent> {
        let user = format!("system:serviceaccount:{OPERATORS}:{OPERATOR}");
        let mut events = AuditEvent::read(&self.audit_log).unwrap();
        events.retain(|event| event.user == user);
        events
    }

    /// The gateway pods that are not ending.
    pub(super) async fn gateway_pods(&self) -> Vec<Pod> {
        let mut pods = self.all_gateway_pods().await;
        pods.retain(|pod| pod.metadata.deletion_timestamp.is_none());
        pods
    }

    /// Waits until no gateway pod is ending.
    pub(super) async fn settled(&self) {
        let end = Instant::now() + RECOVERY;
        while self.all_gateway_pods().await.len() > self.gateway_pods().await.len() {
            assert!(Instant::now() < end, "a gateway pod does not end");
            // sleep: pods end when their requests have ended.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    }

    async fn all_gateway_pods(&self) -> Vec<Pod> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), TEAM);
        let selector = format!("app.kubernetes.io/instance={ACCESS}");
        pods.list(&ListParams::default().labels(&selector))
            .await
            .unwrap()
            .items
    }

    /// Notes a time in which log lines cannot be written.
    pub(super) fn note_unlogged(&self, start: Instant) {
        self.unlogged.lock().unwrap().push((start, Instant::now()));
    }

    /// Waits until both Deployments have all their pods again and no client waits for a retry.
    pub(super) async fn recovered(&self, traffic: &Traffic) -> Result<Instant, String> {
        let recovered = self.is_as_before().await;
        traffic.calm(Duration::from_millis(500)).await;
        recovered
    }

    async fn is_as_before(&self) -> Result<Instant, String> {
        let end = Instant::now() + RECOVERY;
        loop {
            let mut seen = Vec::new();
            for (namespace, name) in [(TEAM, GATEWAY), (OPERATORS, OPERATOR)] {
                let deployments: Api<Deployment> = Api::namespaced(self.client.clone(), namespace);
                match deployments.get(name).await {
                    Ok(deployment) => seen.extend(unfinished(name, &deployment)),
                    Err(error) => seen.push(error.to_string()),
                }
            }
            let objects: Api<BedrockAccess> = Api::namespaced(self.client.clone(), TEAM);
            match objects.get(ACCESS).await {
                Ok(object) => seen.extend(not_ready(&object)),
                Err(error) => seen.push(error.to_string()),
            }
            seen.extend(self.without_leader().await);
            let at = Instant::now();
            if seen.is_empty() {
                return Ok(at);
            }
            if at > end {
                return Err(format!(
                    "not recovered within {RECOVERY:?}: {}",
                    seen.join("; ")
                ));
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Why no operator leads.
    async fn without_leader(&self) -> Option<String> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), OPERATORS);
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), OPERATORS);
        let (lease, pods) = match (
            leases.get(OPERATOR).await,
            pods.list(&ListParams::default()).await,
        ) {
            (Ok(lease), Ok(pods)) => (lease, pods),
            (Err(error), _) | (_, Err(error)) => return Some(error.to_string()),
        };
        let holder = lease
            .spec
            .and_then(|spec| spec.holder_identity)
            .unwrap_or_default();
        let leads = |pod: &Pod| {
            let name = pod.metadata.name.as_deref().unwrap_or_default();
            holder.contains(name) && pod.metadata.deletion_timestamp.is_none()
        };
        (!pods.items.iter().any(leads))
            .then(|| format!("no operator leads; the last was {holder:?}"))
    }

    /// What AWS and the gateways recorded.
    pub(super) async fn accounting(&self) -> Accounting {
        // sleep: the last lines are on their way.
        tokio::time::sleep(Duration::from_secs(3)).await;
        let record = std::fs::read_to_string(self.directory.path().join("calls.jsonl")).unwrap();
        let calls = record
            .lines()
            .filter_map(|line| serde_json::from_str::<Call>(line).ok())
            .filter(|call| {
                call.service == "bedrock-runtime"
                    && call.status == Some(200)
                    && call.fault.is_none()
                    && call
                        .stream
                        .as_ref()
                        .is_none_or(|stream| stream.ended == "complete")
            })
            .map(|call| (call.request_id.clone(), self.instant(&call.at)))
            .collect();
        Accounting {
            lines: self.collector.lines(),
            calls,
            unlogged: self.unlogged.lock().unwrap().clone(),
        }
    }

    fn instant(&self, at: &str) -> Instant {
        let (instant, time) = self.clocks;
        let since = OffsetDateTime::parse(at, &Rfc3339).unwrap() - time;
        if since.is_negative() {
            return instant;
        }
        instant + since.unsigned_abs()
    }
}

/// Gives tokens of the app.
pub(super) struct TokenSource {
    accounts: Api<ServiceAccount>,
    audience: String,
}

impl TokenSource {
    pub(super) async fn token(&self) -> Result<String, String> {
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec![self.audience.clone()],
                expiration_seconds: Some(600),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let post = PostParams::default();
        let answer: TokenRequest = self
            .accounts
            .create_subresource("token", APP, &post, &request)
            .await
            .map_err(|error| error.to_string())?;
        answer
            .status
            .map(|status| status.token)
            .ok_or_else(|| "no token".to_owned())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "AWS's record has times of the system clock"
)]
fn now() -> OffsetDateTime {
    std::time::SystemTime::now().into()
}

/// What a Deployment still has to do.
fn unfinished(name: &str, deployment: &Deployment) -> Option<String> {
    let status = deployment.status.clone().unwrap_or_default();
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas);
    let observed = status.observed_generation >= deployment.metadata.generation;
    let finished = observed
        && status.replicas == wanted
        && status.updated_replicas == wanted
        && status.ready_replicas == wanted
        && status.available_replicas == wanted;
    (!finished).then(|| format!("{name}: {}", json!(status)))
}

fn not_ready(object: &BedrockAccess) -> Option<String> {
    let status = serde_json::to_value(&object.status).unwrap_or_default();
    let observed = status["observedGeneration"].as_i64() >= object.metadata.generation;
    let is_ready = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
    (!(observed && is_ready)).then(|| format!("BedrockAccess: {}", status["conditions"]))
}

/// Starts a program in the cluster's network namespace; it ends with this process.
async fn beside(
    cluster: &Cluster,
    program: &str,
    arguments: &[&str],
    log: &Path,
) -> Option<Beside> {
    let log = std::fs::File::create(log).unwrap();
    let mut command = cluster.netns_command("setpriv");
    command
        .args(["--pdeathsig", "KILL", program])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log);
    let mut child = command.spawn().unwrap();
    // sleep: a program that cannot start ends within this time.
    tokio::time::sleep(Duration::from_millis(300)).await;
    child.try_wait().unwrap().is_none().then_some(Beside(child))
}

async fn start_double(cluster: &Cluster, directory: &Path) -> Beside {
    let keys: Value = serde_json::from_str(&cluster.api().jwks().await.unwrap()).unwrap();
    let config = directory.join("account.yaml");
    std::fs::write(&config, account(keys).to_string()).unwrap();
    let record = directory.join("calls.jsonl");
    let tests = std::env::current_exe().unwrap();
    let program = tests.ancestors().nth(2).unwrap().join("awsdouble");
    let listen = format!("{NODE_ADDRESS}:4566");
    let arguments = [
        "--listen",
        &listen,
        "--config",
        config.to_str().unwrap(),
        "--record",
        record.to_str().unwrap(),
        "--credential-lifetime",
        LIFETIME,
    ];
    let log = directory.join("awsdouble.log");
    beside(cluster, program.to_str().unwrap(), &arguments, &log)
        .await
        .unwrap_or_else(|| panic!("awsdouble: {}", std::fs::read_to_string(&log).unwrap()))
}

async fn start_store(cluster: &Cluster) -> Beside {
    let arguments = [
        "--bind",
        NODE_ADDRESS,
        "--port",
        "6379",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
    ];
    for program in ["valkey-server", "redis-server"] {
        if let Some(store) = beside(cluster, program, &arguments, Path::new("/dev/null")).await {
            return store;
        }
    }
    panic!("valkey-server or redis-server is required: on Debian, apt-get install redis-server")
}

fn apply(cluster: &Cluster, directory: &Path, documents: &[Value]) {
    let text: Vec<String> = documents.iter().map(Value::to_string).collect();
    let file = directory.join("applied.yaml");
    std::fs::write(&file, text.join("\n---\n")).unwrap();
    let mut kubectl = cluster.api().kubectl();
    run(kubectl
        .args(["apply", "--server-side", "--force-conflicts", "-f"])
        .arg(&file));
}
