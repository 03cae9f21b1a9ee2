//! First step of a reconcile: reads everything that the spec refers to and that already exists.
//!
//! Reads caches; the API server is called only for objects that the operator does not watch. Makes no decisions.

pub(crate) mod sidecars;

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use api::v1alpha1::BedrockAccess;
use futures::{StreamExt, stream};
use k8s_openapi::{
    api::core::v1::{ContainerState, Pod, ServiceAccount},
    jiff::Timestamp,
};
use kube::{Api, Client};

use self::sidecars::SidecarState;
use crate::{
    access::{
        readiness::{Readiness, Report},
        status::usage,
        validate::budgets,
    },
    cluster_keys::ClusterKeys,
    owned::{OwnedKind, Stores},
};

/// Concurrent readiness requests for one `BedrockAccess`.
const CONCURRENT_REQUESTS: usize = 8;
/// Readiness requests in one reconcile: a condition needs examples, not every pod.
const MAX_REQUESTS: usize = 16;
/// The same while spend is read, of which every gateway has a part.
const MAX_SPEND_REQUESTS: usize = 64;

/// The observed state.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The cluster's signing keys, once they are read.
    pub(crate) cluster_keys: Option<Arc<ClusterKeys>>,
    /// Whether the existing ServiceAccount that the spec names exists; `None` if the operator creates it.
    pub(crate) existing_service_account: Option<bool>,
    /// The optional kinds that the cluster serves.
    pub(crate) served: BTreeSet<OwnedKind>,
    /// Whether the status gets the gateways' spend in this reconcile.
    pub(crate) is_usage_due: bool,
    /// The gateway's pods by name, without pods that are being deleted.
    pub(crate) pods: Vec<PodState>,
    /// Pods that are being deleted, if they have shares of budgets.
    pub(crate) ending: Vec<PodState>,
    /// Pods with the sidecar label by name, without pods that have finished.
    pub(crate) sidecars: Vec<SidecarState>,
}

/// The state of a gateway pod, as far as the status needs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodState {
    /// Name of the pod.
    pub(crate) name: String,
    /// Whether its readiness probe passes.
    pub(crate) ready: bool,
    /// Why its container does not run: the kubelet's reason, and its message if it is stable.
    pub(crate) waiting: Option<(String, Option<String>)>,
    /// The response of its `/readyz`, if requested and received.
    pub(crate) report: Option<Report>,
}

/// Why something could not be observed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// The API server returned an error.
    #[error("failed to look up ServiceAccount {name}")]
    ServiceAccount { name: String, source: kube::Error },
}

/// Observes everything.
///
/// # Errors
/// When a request to the API server fails.
pub(crate) async fn observe(
    client: &Client,
    stores: &Stores,
    cluster_keys: Option<Arc<ClusterKeys>>,
    readiness: &dyn Readiness,
    namespace: &str,
    access: &BedrockAccess,
) -> Result<Observed, ObserveError> {
    let account = &access.spec.service_account;
    let existing_service_account = match (account.create, account.name.as_deref()) {
        (false, Some(name)) => {
            let found = Api::<ServiceAccount>::namespaced(client.clone(), namespace)
                .get_metadata_opt(name)
                .await
                .map_err(|source| ObserveError::ServiceAccount {
                    name: name.to_owned(),
                    source,
                })?;
            Some(found.is_some())
        }
        _ => None,
    };
    let name = access.metadata.name.as_deref().unwrap_or_default();
    let pods = stores.pods.of(namespace, name);
    let states = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| (pod_state(pod), address(pod)))
        .collect();
    // A target role without credentials or an ejected target does not make a pod unready, so ready pods must be queried.
    let models = access.spec.models.iter();
    let mut targets = models.filter_map(|model| model.targets.as_deref());
    let include_ready = targets.any(|targets| {
        targets.len() > 1 || targets.iter().any(|target| target.assume_role.is_some())
    });
    let need_shares = budgets::need_shares(&access.spec);
    let is_usage_due = usage::is_due(access.status.as_ref(), Timestamp::now());
    let scope = Scope {
        include_ready: include_ready || is_usage_due || need_shares,
        most: if is_usage_due || need_shares {
            MAX_SPEND_REQUESTS
        } else {
            MAX_REQUESTS
        },
    };
    let ending = pods
        .iter()
        .filter(|pod| need_shares && pod.metadata.deletion_timestamp.is_some())
        .map(|pod| (pod_state(pod), address(pod)))
        .collect();
    let pods = query(readiness, None, scope, states).await;
    let ending = query(readiness, None, scope, ending).await;
    let admin_port = access
        .spec
        .sidecar
        .as_ref()
        .and_then(|sidecar| u16::try_from(sidecar.admin_port()).ok());
    let (states, hashes): (Vec<_>, Vec<_>) = stores
        .sidecars
        .of(namespace, name)
        .iter()
        .filter(|pod| sidecars::is_active(pod))
        .map(|pod| ((sidecars::state(pod), address(pod)), sidecars::hash_of(pod)))
        .unzip();
    let sidecars = query(readiness, admin_port, scope, states)
        .await
        .into_iter()
        .zip(hashes)
        .map(|(pod, hash)| SidecarState { pod, hash })
        .collect();
    Ok(Observed {
        cluster_keys,
        existing_service_account,
        served: stores.served(),
        is_usage_due,
        pods,
        ending,
        sidecars,
    })
}

/// Which gateways are queried.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// Ready ones, too.
    include_ready: bool,
    /// Maximum number.
    most: usize,
}

/// Queries the readiness of running gateways that are not ready, and of ready ones if the scope includes them.
async fn query(
    readiness: &dyn Readiness,
    port: Option<u16>,
    scope: Scope,
    pods: Vec<(PodState, Option<IpAddr>)>,
) -> Vec<PodState> {
    let mut count = 0;
    let requests = pods
        .into_iter()
        .map(|(mut state, address)| {
            let address = address
                .filter(|_| state.waiting.is_none() && (scope.include_ready || !state.ready));
            let address = address.filter(|_| {
                count += 1;
                count <= scope.most
            });
            async move {
                if let Some(address) = address {
                    state.report = readiness.query(address, port).await;
                }
                state
            }
        })
        .collect::<Vec<_>>();
    stream::iter(requests)
        .buffered(CONCURRENT_REQUESTS)
        .collect()
        .await
}

/// Address of a pod, if it has one.
pub(crate) fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}

/// The state according to the pod's own status.
pub(crate) fn pod_state(pod: &Pod) -> PodState {
    let status = pod.status.as_ref();
    let ready = status
        .and_then(|status| status.conditions.as_ref())
        .into_iter()
        .flatten()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let waiting = status
        .and_then(|status| status.container_statuses.as_ref())
        .into_iter()
        .flatten()
        .find_map(|container| waiting(container.state.as_ref()?, container.last_state.as_ref()))
        .or_else(|| unscheduled(pod));
    PodState {
        name: pod.metadata.name.clone().unwrap_or_default(),
        ready,
        waiting,
        report: None,
    }
}

/// Why a container does not run. Back-off messages contain times that change with each attempt, so for a container that
/// exits, its termination message is used instead.
fn waiting(
    state: &ContainerState,
    last: Option<&ContainerState>,
) -> Option<(String, Option<String>)> {
    let waiting = state.waiting.as_ref()?;
    let reason = waiting
        .reason
        .clone()
        .unwrap_or_else(|| "Waiting".to_owned());
    let termination_message = || {
        let ended = last?.terminated.as_ref()?;
        let message = ended
            .message
            .as_deref()
            .map(str::trim)
            .filter(|message| !message.is_empty());
        Some(message.map_or_else(
            || format!("the gateway exited with code {}", ended.exit_code),
            ToOwned::to_owned,
        ))
    };
    let message = if reason == "CrashLoopBackOff" {
        termination_message()
    } else {
        waiting.message.clone()
    };
    Some((reason, message))
}

fn unscheduled(pod: &Pod) -> Option<(String, Option<String>)> {
    let conditions = pod.status.as_ref()?.conditions.as_ref()?;
    let condition = conditions
        .iter()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False")?;
    Some((
        condition
            .reason
            .clone()
            .unwrap_or_else(|| "Unschedulable".to_owned()),
        condition.message.clone(),
    ))
}
