//! One API server for many cases. A case is a namespace, a proxy that shows nothing else, and an operator behind it.

use std::{
    future::Future,
    sync::{Arc, Weak},
    time::Duration,
};

use futures::{StreamExt, stream};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use kube_runtime::{WatchStreamExt, watcher};
use operator::{LeaderElection, Timing};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, Semaphore},
    task::JoinHandle,
    time::Instant,
};

use super::{
    oracle::{self, difference},
    proxy::Proxy,
};
use crate::{
    api_tier::rig::{Background, Rig, sample_spec},
    support::{eventually, lane},
};

/// Name of the BedrockAccess in every case.
pub(crate) const ACCESS: &str = "chat";
/// Name of its children.
pub(crate) const CHILD: &str = "chat-gateway";
/// Time without a request after which the operator has nothing left to do. Longer than its first delay after a failure.
const QUIET: Duration = Duration::from_millis(1300);
/// Cases at the same time, of all groups of this process together.
const AT_ONCE: usize = 16;
static SLOTS: Semaphore = Semaphore::const_new(AT_ONCE);
/// The API server that groups share; it stops with the last of them.
static SHARED: Mutex<Weak<Server>> = Mutex::const_new(Weak::new());
/// Longest time of a case; longer than elsewhere, since many cases run at once and delays double.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(3);
/// Longest wait of the operator for a response.
const DEADLINE: Duration = Duration::from_secs(3);
/// Short enough for many cases, and long enough for a busy machine.
const TIMING: Timing = Timing {
    lease: Duration::from_secs(8),
    renew: Duration::from_secs(6),
    retry: Duration::from_millis(500),
};

/// An API server prepared for operators, and the clients of one test.
pub(crate) struct World {
    pub(crate) client: Client,
    server: Arc<Server>,
    upstream: Client,
}

/// The API server, and a stand-in for its kubelets.
struct Server {
    _stand_in: Background,
    rig: Rig,
    credentials: Config,
}

/// A namespace with its operators.
pub(crate) struct Case {
    pub(crate) world: Arc<World>,
    pub(crate) namespace: String,
}

/// An operator behind a proxy of its own.
pub(crate) struct Operator {
    pub(crate) proxy: Proxy,
    task: Task<Result<(), operator::RunError>>,
}

/// A task that is aborted with its owner.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World {
    /// A world on the API server that all groups share. Namespaces keep their cases apart.
    pub(crate) async fn shared() -> Arc<Self> {
        let mut running = SHARED.lock().await;
        let server = if let Some(server) = running.upgrade() {
            server
        } else {
            let server = Arc::new(Server::start().await);
            *running = Arc::downgrade(&server);
            server
        };
        drop(running);
        Self::on(server).await
    }

    /// A world of its own, for cases that change what all namespaces see.
    pub(crate) async fn alone() -> Arc<Self> {
        Self::on(Arc::new(Server::start().await)).await
    }

    /// Clients belong to a runtime, and each test has its own.
    async fn on(server: Arc<Server>) -> Arc<Self> {
        let mut anonymous = server.credentials.clone();
        anonymous.auth_info = kube::config::AuthInfo::default();
        anonymous.default_retry = false;
        Arc::new(Self {
            client: server.rig.cluster().client().await.unwrap(),
            upstream: Client::try_from(anonymous).unwrap(),
            server,
        })
    }

    /// A namespace of this name.
    pub(crate) async fn case(self: &Arc<Self>, namespace: &str) -> Case {
        let object = serde_json::from_value(json!({"metadata": {"name": namespace}})).unwrap();
        Api::<Namespace>::all(self.client.clone())
            .create(&PostParams::default(), &object)
            .await
            .unwrap();
        Case {
            world: Arc::clone(self),
            namespace: namespace.to_owned(),
        }
    }
}

impl Server {
    async fn start() -> Self {
        let rig = Rig::without_operator().await;
        rig.serve_pod_monitors().await;
        rig.serve_certificates().await;
        rig.serve_gateway_api().await;
        let kubeconfig = rig.cluster().kubeconfig();
        let stand_in = Background::start(move |stopped| async move {
            let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
            let client = Client::try_from(config.unwrap()).unwrap();
            tokio::select! {
                () = make_pods_ready(client) => {}
                _ = stopped => {}
            }
        });
        Self {
            credentials: rig.operator_config().await,
            _stand_in: stand_in,
            rig,
        }
    }
}

impl Case {
    /// A further operator.
    pub(crate) async fn operator(&self) -> Operator {
        let proxy = Proxy::start(self.world.upstream.clone(), &self.namespace).await;
        self.operator_behind(proxy)
    }

    /// An operator behind a proxy that may be armed with faults.
    pub(crate) fn operator_behind(&self, proxy: Proxy) -> Operator {
        self.start(proxy, None)
    }

    /// A replica that writes while it holds the Lease of this namespace.
    pub(crate) async fn replica(&self, name: &str) -> Operator {
        let mut election = LeaderElection::new(&self.namespace, name);
        election.timing = TIMING;
        self.start(self.proxy().await, Some(election))
    }

    /// Grants operators a Lease in this namespace, as the chart does in their own.
    pub(crate) fn allow_leases(&self) {
        let roles = self.world.server.rig.lease_role(&self.namespace);
        self.world
            .server
            .rig
            .kubectl_apply("integration-test", &roles);
    }

    /// Waits until a replica of this name holds the Lease.
    pub(crate) async fn led_by(&self, name: &str) {
        let leases = Api::<Lease>::namespaced(self.world.client.clone(), &self.namespace);
        eventually(&format!("{name} leads"), || async {
            let lease = leases.get_opt(api::names::LEASE).await;
            let lease = lease.map_err(|error| error.to_string())?;
            let holder = lease.and_then(|lease| lease.spec?.holder_identity);
            let holder = holder.unwrap_or_default();
            let leads = holder.starts_with(&format!("{name}_"));
            leads.then_some(()).ok_or(holder)
        })
        .await;
    }

    fn start(&self, proxy: Proxy, leader_election: Option<LeaderElection>) -> Operator {
        let mut config = self.world.server.credentials.clone();
        config.cluster_url = proxy.url.parse().unwrap();
        let settings = operator::Settings {
            gateway_image: "bedrock-gateway:test".to_owned(),
            request_deadline: DEADLINE,
            leader_election,
            ..operator::Settings::default()
        };
        let client = Client::try_from(config).unwrap();
        let run = operator::run(client, settings, std::future::pending());
        Operator {
            proxy,
            task: Task(tokio::spawn(run)),
        }
    }

    pub(crate) async fn proxy(&self) -> Proxy {
        Proxy::start(self.world.upstream.clone(), &self.namespace).await
    }

    /// Applies the BedrockAccess with this spec.
    pub(crate) async fn apply(&self, spec: &Value) {
        let object = json!({
            "apiVersion": "bedrockaccess.dev/v1alpha1",
            "kind": "BedrockAccess",
            "metadata": {"name": ACCESS},
            "spec": spec,
        });
        oracle::api(&self.world.client, &self.namespace, "BedrockAccess")
            .patch(
                ACCESS,
                &PatchParams::apply("team").force(),
                &Patch::Apply(&object),
            )
            .await
            .unwrap();
    }

    /// Deletes the BedrockAccess.
    pub(crate) async fn delete(&self) {
        oracle::api(&self.world.client, &self.namespace, "BedrockAccess")
            .delete(ACCESS, &DeleteParams::default())
            .await
            .unwrap();
    }

    /// Labels the namespace; `null` takes a label away.
    pub(crate) async fn label(&self, labels: &Value) {
        let patch = Patch::Merge(json!({"metadata": {"labels": labels}}));
        Api::<Namespace>::all(self.world.client.clone())
            .patch(&self.namespace, &PatchParams::default(), &patch)
            .await
            .unwrap();
    }

    pub(crate) async fn state(&self) -> String {
        oracle::state(&self.world.client, &self.namespace).await
    }

    /// Waits until the operator is idle and the BedrockAccess is ready, and returns the state.
    pub(crate) async fn settled(&self, operator: &Operator) -> String {
        self.settled_as(operator, |state| {
            let objects: Value = serde_json::from_str(state).unwrap();
            let access = &objects[format!("BedrockAccess {ACCESS}")];
            let current =
                access["metadata"]["generation"] == access["status"]["observedGeneration"];
            let conditions = access["status"]["conditions"].as_array();
            let says = |kind: &str, status: &str| {
                conditions
                    .into_iter()
                    .flatten()
                    .any(|condition| condition["type"] == kind && condition["status"] == status)
            };
            let ready = says("Ready", "True") && says("Reconciling", "False");
            (current && ready)
                .then_some(())
                .ok_or_else(|| access["status"].to_string())
        })
        .await
    }

    /// Waits until the operator is idle and the state is this one.
    pub(crate) async fn settled_like(&self, operator: &Operator, wanted: &str) -> String {
        self.settled_as(operator, |state| {
            if state == wanted {
                Ok(())
            } else {
                Err(format!("unlike the oracle:\n{}", difference(wanted, state)))
            }
        })
        .await
    }

    /// Waits until the operator is idle and `judge` accepts the state.
    pub(crate) async fn settled_as(
        &self,
        operator: &Operator,
        judge: impl Fn(&str) -> Result<(), String>,
    ) -> String {
        let end = Instant::now() + TIMEOUT;
        let mut every = tokio::time::interval(Duration::from_millis(100));
        let mut look_at = Instant::now();
        let mut seen = "nothing: the operator was never quiet".to_owned();
        loop {
            every.tick().await;
            assert!(
                Instant::now() < end,
                "not within {TIMEOUT:?}; {seen}\n  {}",
                operator.proxy.story()
            );
            if !operator.proxy.quiet_for(QUIET) || Instant::now() < look_at {
                continue;
            }
            let state = self.state().await;
            match judge(&state) {
                // A later request may have changed the state.
                Ok(()) if operator.proxy.quiet_for(QUIET) => return state,
                Ok(()) => {}
                Err(unlike) => {
                    seen = format!("{unlike}\n  written: {:?}", operator.proxy.writes());
                    look_at = Instant::now() + QUIET;
                }
            }
        }
    }

    /// Waits for a condition `Ready` of this reason.
    pub(crate) async fn reason(&self, wanted: &str) -> String {
        let objects = oracle::api(&self.world.client, &self.namespace, "BedrockAccess");
        eventually(&format!("Ready says {wanted}"), || async {
            let access = objects
                .get(ACCESS)
                .await
                .map_err(|error| error.to_string())?;
            let conditions = access.data["status"]["conditions"].clone();
            conditions
                .as_array()
                .into_iter()
                .flatten()
                .find(|condition| condition["type"] == "Ready" && condition["reason"] == wanted)
                .map(|condition| condition["message"].to_string())
                .ok_or_else(|| conditions.to_string())
        })
        .await
    }
}

impl Operator {
    /// Waits until it ends by itself.
    pub(crate) async fn ended(mut self) -> Result<(), operator::RunError> {
        (&mut self.task.0).await.unwrap()
    }

    /// Stops it like SIGKILL: pending work is lost. Its proxy remains.
    pub(crate) async fn kill(self) -> Proxy {
        let Self { proxy, mut task } = self;
        task.0.abort();
        // The abort is expected.
        let _ = (&mut task.0).await;
        proxy
    }
}

/// Whether a case runs in this lane. Cases form a table, such as faults by writes; the default lane runs its diagonal, so
/// that each row and each column is covered.
pub(crate) fn is_sampled(row: usize, column: usize, columns: usize) -> bool {
    lane::is_full() || row % columns == column
}

/// Runs cases concurrently and fails with the names and reasons of all failures.
pub(crate) async fn run<F>(group: &str, at_least: usize, cases: Vec<(String, F)>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let count = cases.len();
    assert!(count >= at_least, "{group}: {count} cases, not {at_least}");
    let begun = Instant::now();
    let failed: Vec<String> = stream::iter(cases)
        .map(|(name, case)| async move {
            let _slot = SLOTS.acquire().await.unwrap();
            let outcome: JoinHandle<()> = tokio::spawn(case);
            let error = outcome.await.err()?;
            let panic = error.into_panic();
            let reason = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_default();
            Some(format!("{name}: {reason}"))
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(|failed| async { failed })
        .collect()
        .await;
    assert!(
        failed.is_empty(),
        "{group}: {} of {count} cases failed\n\n{}",
        failed.len(),
        failed.join("\n\n")
    );
    tracing::info!(
        group,
        count,
        seconds = begun.elapsed().as_secs_f64(),
        "all cases passed"
    );
}

/// A spec with every kind of child.
pub(crate) fn every_child() -> Value {
    with_gateway(json!({
        "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
        "podMonitor": {},
        "tls": {"issuerRef": {"name": "internal"}, "caConfigMapName": "bundle"},
        "httpRoute": {"parentRefs": [{"name": "shared"}], "hostnames": ["bedrock.example.com"]},
    }))
}

/// The sample with this gateway. It has a session name, since the default contains the namespace, which differs between
/// cases.
pub(crate) fn with_gateway(gateway: Value) -> Value {
    let mut spec = sample_spec();
    spec["identity"]["irsa"]["sessionName"] = json!("chat");
    spec["gateway"] = gateway;
    spec
}

/// Reports every pod of the cluster as ready, in place of kubelets.
async fn make_pods_ready(client: Client) {
    let status = json!({"status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
    }});
    let pods = watcher(Api::<Pod>::all(client.clone()), watcher::Config::default())
        .default_backoff()
        .applied_objects();
    pods.for_each_concurrent(16, |pod| {
        let (client, status) = (client.clone(), &status);
        async move {
            // A watch that fails is restarted.
            let Ok(pod) = pod else { return };
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if phase == Some("Running") || pod.metadata.deletion_timestamp.is_some() {
                return;
            }
            let namespace = pod.namespace().unwrap_or_default();
            // The pod may be deleted meanwhile.
            let _ = Api::<Pod>::namespaced(client, &namespace)
                .patch_status(
                    &pod.name_any(),
                    &PatchParams::default(),
                    &Patch::Merge(status),
                )
                .await;
        }
    })
    .await;
}
