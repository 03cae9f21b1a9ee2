//! One API server for many cases, and a case: a namespace, a proxy that shows nothing else, and an
//! operator behind it.

use std::{future::Future, sync::Arc, time::Duration};

use futures::{StreamExt, stream};
use k8s_openapi::api::{
    coordination::v1::Lease,
    core::v1::{Namespace, Pod},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use kube_runtime::{WatchStreamExt, watcher};
use operator::{LeaderElection, Timing};
use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::Instant};

use super::{
    oracle::{self, difference},
    proxy::Proxy,
};
use crate::{
    api_tier::rig::{Rig, sample_spec},
    support::eventually,
};

/// Name of the access in every case.
pub(crate) const ACCESS: &str = "chat";
/// Name of its children.
pub(crate) const CHILD: &str = "chat-gateway";
/// Nothing is asked for this long: what was to be done is done. Longer than the operator's first wait
/// after a failure.
const QUIET: Duration = Duration::from_millis(1300);
/// Cases at the same time.
const AT_ONCE: usize = 16;
/// How long a case may take; with so many at once, and waits that double, longer than elsewhere.
pub(crate) const TIMEOUT: Duration = Duration::from_mins(3);
/// Longest wait of the operator for an answer.
const DEADLINE: Duration = Duration::from_secs(3);
/// Quick enough for many cases, and slow enough for a busy machine.
const TIMING: Timing = Timing {
    lease: Duration::from_secs(8),
    renew: Duration::from_secs(6),
    retry: Duration::from_millis(500),
};

/// An API server with everything on it that operators need.
pub(crate) struct World {
    pub(crate) client: Client,
    rig: Rig,
    upstream: Client,
    credentials: Config,
    _stand_in: Task<()>,
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

/// A task that ends with its owner.
struct Task<T>(JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl World {
    pub(crate) async fn start() -> Arc<Self> {
        let rig = Rig::without_operator().await;
        rig.serve_pod_monitors().await;
        let credentials = rig.operator_config().await;
        let mut anonymous = credentials.clone();
        anonymous.auth_info = kube::config::AuthInfo::default();
        anonymous.default_retry = false;
        let client = rig.client.clone();
        Arc::new(Self {
            _stand_in: Task(tokio::spawn(make_pods_ready(client.clone()))),
            client,
            rig,
            upstream: Client::try_from(anonymous).unwrap(),
            credentials,
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

impl Case {
    /// A further operator.
    pub(crate) async fn operator(&self) -> Operator {
        let proxy = Proxy::start(self.world.upstream.clone(), &self.namespace).await;
        self.operator_behind(proxy)
    }

    /// An operator behind a proxy that may have been told what to do.
    pub(crate) fn operator_behind(&self, proxy: Proxy) -> Operator {
        self.start(proxy, None)
    }

    /// A replica that writes while it holds the Lease of this namespace.
    pub(crate) async fn replica(&self, name: &str) -> Operator {
        let mut election = LeaderElection::new(&self.namespace, name);
        election.timing = TIMING;
        self.start(self.proxy().await, Some(election))
    }

    /// Lets operators have a Lease in this namespace, as the chart does in theirs.
    pub(crate) fn allow_leases(&self) {
        let roles = self.world.rig.lease_role(&self.namespace);
        self.world.rig.kubectl_apply("integration-test", &roles);
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
        let mut config = self.world.credentials.clone();
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

    /// Applies the access with this spec, as its team does.
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

    /// Deletes the access.
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

    /// Waits until the operator has nothing to do and the access is ready, and gives the state.
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

    /// Waits until the operator has nothing to do and the state is this one.
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

    /// Waits until the operator has nothing to do and the state is as wanted.
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
                // Whatever came meanwhile is not in what was seen.
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
        let accesses = oracle::api(&self.world.client, &self.namespace, "BedrockAccess");
        eventually(&format!("Ready says {wanted}"), || async {
            let access = accesses
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

    /// Ends it as SIGKILL does: nothing it was about to do is done. Its proxy stays.
    pub(crate) async fn kill(self) -> Proxy {
        let Self { proxy, mut task } = self;
        task.0.abort();
        // That it was ended is what was wanted.
        let _ = (&mut task.0).await;
        proxy
    }
}

/// Runs cases at the same time and fails with the names and reasons of all that failed.
pub(crate) async fn run<F>(group: &str, at_least: usize, cases: Vec<(String, F)>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let count = cases.len();
    assert!(count >= at_least, "{group}: {count} cases, not {at_least}");
    let begun = Instant::now();
    let failed: Vec<String> = stream::iter(cases)
        .map(|(name, case)| async move {
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

/// A spec with every child there is.
pub(crate) fn every_child() -> Value {
    with_gateway(json!({
        "autoscaling": {"minReplicas": 1, "maxReplicas": 3},
        "podMonitor": {},
    }))
}

/// The sample with this gateway. Sessions have a name of their own: else they would have that of the
/// namespace, in which alone cases differ.
pub(crate) fn with_gateway(gateway: Value) -> Value {
    let mut spec = sample_spec();
    spec["identity"]["irsa"]["sessionName"] = json!("chat");
    spec["gateway"] = gateway;
    spec
}

/// What a kubelet would report: every pod is ready, in the whole cluster.
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
            // A watch that fails is begun again.
            let Ok(pod) = pod else { return };
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            if phase == Some("Running") || pod.metadata.deletion_timestamp.is_some() {
                return;
            }
            let namespace = pod.namespace().unwrap_or_default();
            // It may be gone: then there is nobody to be ready.
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
