//! `GatewayAvailable`: progress of the Deployment, and what keeps its pods from running.

use api::v1alpha1::condition;
use k8s_openapi::api::apps::v1::Deployment;

use super::ConditionOutcome;
use crate::access::observe::PodState;

/// Reasons of a container that waits only temporarily.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// Progress of a Deployment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rollout {
    /// Whether the Deployment exists and its controller has observed the current spec.
    pub(crate) observed: bool,
    pub(crate) wanted: i32,
    pub(crate) total: i32,
    pub(crate) updated: i32,
    pub(crate) available: i32,
    pub(crate) ready: i32,
    /// Whether the Deployment exceeded its progress deadline.
    pub(crate) stuck: bool,
}

impl Rollout {
    /// Whether all pods run the current template.
    pub(crate) fn complete(self) -> bool {
        self.observed && self.updated >= self.wanted && self.total <= self.updated
    }
}

pub(crate) fn rollout(deployment: Option<&Deployment>) -> Rollout {
    let Some(deployment) = deployment else {
        return Rollout::default();
    };
    let wanted = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.replicas)
        .unwrap_or(1);
    let Some(status) = &deployment.status else {
        return Rollout {
            wanted,
            ..Rollout::default()
        };
    };
    let stuck = status.conditions.iter().flatten().any(|condition| {
        condition.type_ == "Progressing"
            && condition.reason.as_deref() == Some("ProgressDeadlineExceeded")
    });
    Rollout {
        observed: status.observed_generation >= deployment.metadata.generation,
        wanted,
        total: status.replicas.unwrap_or_default(),
        updated: status.updated_replicas.unwrap_or_default(),
        available: status.available_replicas.unwrap_or_default(),
        ready: status.ready_replicas.unwrap_or_default(),
        stuck,
    }
}

pub(crate) fn outcome(rollout: Rollout, pods: &[PodState], revoked: bool) -> ConditionOutcome {
    let count = format!(
        "{} of {} gateway pods are available",
        rollout.available, rollout.wanted
    );
    if revoked {
        return ConditionOutcome::no(
            condition::REASON_NOT_ALLOWED,
            "scaled to zero because no BedrockAccessPolicy allows this object",
        );
    }
    if rollout.observed && rollout.wanted == 0 {
        return ConditionOutcome::no(
            condition::REASON_SCALED_TO_ZERO,
            "spec.gateway.replicas is 0",
        );
    }
    if rollout.available > 0 {
        return ConditionOutcome::yes(condition::REASON_READY, count);
    }
    match blocked(pods) {
        Some((reason, message)) => ConditionOutcome::no(&reason, format!("{count}; {message}")),
        None if rollout.stuck => ConditionOutcome::no(
            condition::REASON_UNAVAILABLE,
            format!("{count}; the Deployment exceeded its progress deadline"),
        ),
        None => ConditionOutcome::no(condition::REASON_ROLLING_OUT, count),
    }
}

/// The first pod whose container does not run, and why: for example an image that cannot be pulled, a missing Secret,
/// or a gateway that exits immediately.
pub(crate) fn blocked(pods: &[PodState]) -> Option<(String, String)> {
    pods.iter().find_map(|pod| {
        let (reason, message) = pod.waiting.as_ref()?;
        if PASSING.contains(&reason.as_str()) {
            return None;
        }
        let message = message.as_deref().unwrap_or("no message from the kubelet");
        Some((reason.clone(), format!("{}: {message}", pod.name)))
    })
}
