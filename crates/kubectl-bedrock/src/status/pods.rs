//! The state of a gateway pod or of the sidecar in a pod.

use api::names;
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    jiff::Timestamp,
};
use kube::ResourceExt;
use serde::Serialize;

use crate::state::{State, age};

/// A pod with a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PodReport {
    pub(crate) name: String,
    pub(crate) state: State,
    /// State of the gateway container, or why it does not run.
    pub(crate) message: String,
    pub(crate) restarts: i32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) created: Option<String>,
    #[serde(skip)]
    pub(crate) age: Option<String>,
}

impl PodReport {
    /// A gateway pod, or the sidecar of a pod.
    pub(crate) fn new(pod: &Pod, now: Timestamp) -> Self {
        let container = container(pod);
        let (state, message) = if pod.metadata.deletion_timestamp.is_some() {
            (State::Warning, "terminating".to_owned())
        } else {
            condition(pod, container)
        };
        let created = pod.creation_timestamp().map(|time| time.0);
        Self {
            name: pod.name_any(),
            state,
            message,
            restarts: container.map_or(0, |container| container.restart_count),
            image: container.map(|container| container.image.clone()),
            node: pod.spec.as_ref().and_then(|spec| spec.node_name.clone()),
            created: created.map(|created| created.to_string()),
            age: created.map(|created| age(now.as_second().saturating_sub(created.as_second()))),
        }
    }

    /// The pod in a few words.
    pub(crate) fn text(&self) -> String {
        let mut text = self.message.clone();
        if self.restarts > 0 {
            text = format!("{text}, {} restarts", self.restarts);
        }
        if let Some(age) = &self.age {
            text = format!("{text}, {age} old");
        }
        text
    }
}

/// Whether a pod has a gateway container.
pub(crate) fn has_gateway(pod: &Pod) -> bool {
    let Some(spec) = &pod.spec else {
        return false;
    };
    let mut all = spec
        .containers
        .iter()
        .chain(spec.init_containers.iter().flatten());
    all.any(|container| container.name == names::GATEWAY_NAME)
}

/// The status of the gateway container, which is an init container in pods with a sidecar.
fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let status = pod.status.as_ref()?;
    let containers = status.container_statuses.iter().flatten();
    let mut all = containers.chain(status.init_container_statuses.iter().flatten());
    all.find(|container| container.name == names::GATEWAY_NAME)
}

fn condition(pod: &Pod, container: Option<&ContainerStatus>) -> (State, String) {
    let Some(container) = container else {
        return unscheduled(pod);
    };
    let last = container
        .last_state
        .as_ref()
        .and_then(|last| last.terminated.as_ref());
    let ended = last.map(|last| {
        let reason = last.reason.as_deref().unwrap_or("Terminated");
        format!("; before that {reason} with exit code {}", last.exit_code)
    });
    let ended = ended.unwrap_or_default();
    let Some(state) = &container.state else {
        return (State::Warning, "no state yet".to_owned());
    };
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or("Waiting");
        let passing = ["ContainerCreating", "PodInitializing"].contains(&reason);
        let message = waiting.message.as_ref();
        let message = message.map_or_else(String::new, |message| format!(": {message}"));
        let level = if passing {
            State::Warning
        } else {
            State::Error
        };
        return (level, format!("{reason}{message}{ended}"));
    }
    if let Some(terminated) = &state.terminated {
        let reason = terminated.reason.as_deref().unwrap_or("Terminated");
        let code = terminated.exit_code;
        return (State::Error, format!("{reason} with exit code {code}"));
    }
    if container.ready {
        return (State::Ok, format!("ready{ended}"));
    }
    (
        State::Error,
        format!("running, not ready: it has no AWS credentials, or is shutting down{ended}"),
    )
}

/// A pod without container statuses is not on a node yet, or no kubelet has reported.
fn unscheduled(pod: &Pod) -> (State, String) {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    let refused = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "PodScheduled" && condition.status == "False");
    if let Some(refused) = refused {
        let reason = refused.reason.as_deref().unwrap_or("Unscheduled");
        let message = refused.message.as_deref().unwrap_or("no message");
        return (State::Error, format!("{reason}: {message}"));
    }
    let phase = status.and_then(|status| status.phase.as_deref());
    let phase = phase.unwrap_or("Pending");
    (
        State::Warning,
        format!("{phase}, no report of a kubelet yet"),
    )
}
