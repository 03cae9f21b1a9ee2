//! First step of a reconcile: all that the spec refers to and that exists already, in one value.
//!
//! Reads caches; the API server is asked only for what no watch of ours covers. It judges nothing.

use std::{net::IpAddr, sync::Arc};

use api::v1alpha1::BedrockAccess;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::{ContainerState, Pod, ServiceAccount};
use kube::{Api, Client};

use crate::{
    access::readiness::{Readiness, Report},
    children::{ChildKind, Stores},
    cluster_keys::ClusterKeys,
    sidecar::fleet::{self, SidecarFacts},
};

/// Gateways asked at the same time for one access.
const QUESTIONS_AT_ONCE: usize = 8;
/// Gateways asked in one reconcile: a status needs examples, not a census.
const QUESTIONS: usize = 16;

/// What was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The cluster's signing keys, once they have been read.
    pub(crate) cluster_keys: Option<Arc<ClusterKeys>>,
    /// Whether the ServiceAccount exists that is used and not made; `None` where one is made.
    pub(crate) existing_service_account: Option<bool>,
    /// Whether the cluster serves `PodMonitor`.
    pub(crate) pod_monitors_served: bool,
    /// The gateway's pods by name, those on their way out left out.
    pub(crate) pods: Vec<PodFacts>,
    /// Pods of the team that ask for the sidecar, by name, those that have ended left out.
    pub(crate) sidecars: Vec<SidecarFacts>,
}

/// What a status needs to know of a gateway pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodFacts {
    /// Name of the pod.
    pub(crate) name: String,
    /// Whether its readiness probe passes.
    pub(crate) ready: bool,
    /// Why its container does not run: the kubelet's word, and a sentence where there is a stable one.
    pub(crate) waiting: Option<(String, Option<String>)>,
    /// What its `/readyz` says, when it runs and there is something to ask.
    pub(crate) report: Option<Report>,
}

/// Why something could not be looked at.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObserveError {
    /// The API server did not answer.
    #[error("unable to look for ServiceAccount {name}")]
    ServiceAccount { name: String, source: kube::Error },
}

/// Looks at everything.
///
/// # Errors
/// When the API server cannot be asked.
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
    let pods = stores.pods_of(namespace, name);
    let facts = pods
        .iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .map(|pod| (facts(pod), address(pod)))
        .collect();
    // Whether a role of a target has credentials decides nothing, so ready pods have to be asked for it.
    let models = access.spec.models.iter();
    let mut targets = models.flat_map(|model| model.targets.iter().flatten());
    let ask_ready = targets.any(|target| target.assume_role.is_some());
    let pods = ask(readiness, None, ask_ready, facts).await;
    let admin_port = access
        .spec
        .sidecar
        .as_ref()
        .and_then(|sidecar| u16::try_from(sidecar.admin_port()).ok());
    let (facts, hashes): (Vec<_>, Vec<_>) = stores
        .sidecars_of(namespace, name)
        .iter()
        .filter(|pod| fleet::runs(pod))
        .map(|pod| ((fleet::facts(pod), address(pod)), fleet::hash_of(pod)))
        .unzip();
    let sidecars = ask(readiness, admin_port, ask_ready, facts)
        .await
        .into_iter()
        .zip(hashes)
        .map(|(pod, hash)| SidecarFacts { pod, hash })
        .collect();
    Ok(Observed {
        cluster_keys,
        existing_service_account,
        pod_monitors_served: stores.serves(ChildKind::PodMonitor),
        pods,
        sidecars,
    })
}

/// Asks the gateways that run and are not ready why they are not, and those that are only where there is a reason to.
async fn ask(
    readiness: &dyn Readiness,
    port: Option<u16>,
    ask_ready: bool,
    pods: Vec<(PodFacts, Option<IpAddr>)>,
) -> Vec<PodFacts> {
    let mut questions = 0;
    let questions = pods
        .into_iter()
        .map(|(mut facts, address)| {
            let address =
                address.filter(|_| facts.waiting.is_none() && (ask_ready || !facts.ready));
            let address = address.filter(|_| {
                questions += 1;
                questions <= QUESTIONS
            });
            async move {
                if let Some(address) = address {
                    facts.report = readiness.ask(address, port).await;
                }
                facts
            }
        })
        .collect::<Vec<_>>();
    stream::iter(questions)
        .buffered(QUESTIONS_AT_ONCE)
        .collect()
        .await
}

fn address(pod: &Pod) -> Option<IpAddr> {
    pod.status.as_ref()?.pod_ip.as_deref()?.parse().ok()
}

/// What the pod's own status tells.
fn facts(pod: &Pod) -> PodFacts {
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
    PodFacts {
        name: pod.metadata.name.clone().unwrap_or_default(),
        ready,
        waiting,
        report: None,
    }
}

/// Why a container does not run. Back-off messages carry times that change with each try, so for a
/// container that ends by itself its last words are taken instead.
pub(crate) fn waiting(
    state: &ContainerState,
    last: Option<&ContainerState>,
) -> Option<(String, Option<String>)> {
    let waiting = state.waiting.as_ref()?;
    let reason = waiting
        .reason
        .clone()
        .unwrap_or_else(|| "Waiting".to_owned());
    let last_words = || {
        let ended = last?.terminated.as_ref()?;
        let words = ended
            .message
            .as_deref()
            .map(str::trim)
            .filter(|words| !words.is_empty());
        Some(words.map_or_else(
            || format!("the gateway ended with exit code {}", ended.exit_code),
            ToOwned::to_owned,
        ))
    };
    let message = if reason == "CrashLoopBackOff" {
        last_words()
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
