//! `GatewayAvailable`: how far the Deployment is, and what keeps its pods from running.

use api::v1alpha1::condition;
use k8s_openapi::api::apps::v1::Deployment;

use super::{State, Verdict};
use crate::access::observe::PodFacts;

/// Reasons for which a container waits in passing.
const PASSING: [&str; 2] = ["ContainerCreating", "PodInitializing"];

/// How far a Deployment is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::access::status) struct Rollout {
    /// Whether there is a Deployment, and its controller has seen its current spec.
    pub(in crate::access::status) observed: bool,
    pub(in crate::access::status) wanted: i32,
    pub(in crate::access::status) total: i32,
    pub(in crate::access::status) updated: i32,
    pub(in crate::access::status) available: i32,
    pub(in crate::access::status) ready: i32,
    /// Whether the Deployment has given up.
    pub(in crate::access::status) stuck: bool,
}

impl Rollout {
    /// Whether the current pods are all that there are.
    pub(in crate::access::status) fn complete(self) -> bool {
        self.observed && self.updated >= self.wanted && self.total <= self.updated
    }
}

pub(in crate::access::status) fn rollout(deployment: Option<&Deployment>) -> Rollout {
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

pub(in crate::access::status) fn verdict(
    rollout: Rollout,
    pods: &[PodFacts],
    revoked: bool,
) -> Verdict {
    let count = format!(
        "{} of {} gateway pods are available",
        rollout.available, rollout.wanted
    );
    if revoked {
        return Verdict::new(
            State::False,
            condition::REASON_NOT_ALLOWED,
            "scaled to zero, since no BedrockAccessPolicy allows the access",
        );
    }
    if rollout.observed && rollout.wanted == 0 {
        return Verdict::new(
            State::False,
            condition::REASON_SCALED_TO_ZERO,
            "spec.gateway.replicas is 0",
        );
    }
    if rollout.available > 0 {
        return Verdict::new(State::True, condition::REASON_READY, count);
    }
    match blocked(pods) {
        Some((reason, message)) => {
            Verdict::new(State::False, &reason, format!("{count}; {message}"))
        }
        None if rollout.stuck => Verdict::new(
            State::False,
            condition::REASON_UNAVAILABLE,
            format!("{count}, and the Deployment has given up waiting"),
        ),
        None => Verdict::new(State::False, condition::REASON_ROLLING_OUT, count),
    }
}

/// The first pod whose container does not run, and why: an image that cannot be pulled, a Secret that is
/// missing, a gateway that ends at once.
pub(in crate::access::status) fn blocked(pods: &[PodFacts]) -> Option<(String, String)> {
    pods.iter().find_map(|pod| {
        let (reason, message) = pod.waiting.as_ref()?;
        if PASSING.contains(&reason.as_str()) {
            return None;
        }
        let message = message.as_deref().unwrap_or("the kubelet gives no message");
        Some((reason.clone(), format!("{}: {message}", pod.name)))
    })
}
