//! `Ready`, `Reconciling` and `Stalled`: the summary, as kstatus reads it.

use api::v1alpha1::condition;

use super::{
    ConditionOutcome, ConditionStatus,
    gateway::{Rollout, blocked},
};
use crate::access::{Error, observe::PodState};

/// The three conditions of the summary.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) ready: ConditionOutcome,
    pub(crate) reconciling: ConditionOutcome,
    pub(crate) stalled: ConditionOutcome,
}

pub(crate) fn summary(
    rollout: Rollout,
    gateway: &ConditionOutcome,
    credentials: &ConditionOutcome,
    pods: &[PodState],
    error: Option<&Error>,
) -> Summary {
    match error {
        Some(error) if error.is_stalled() => stalled(error.reason(), &error.explain()),
        Some(error) => moving(
            ConditionOutcome::no(error.reason(), error.explain()),
            error.reason(),
            &error.explain(),
        ),
        None => of_rollout(rollout, gateway, credentials, pods),
    }
}

/// With sidecars only, the object is ready once their configuration is in place; the state of each sidecar is part of
/// its pod.
pub(crate) fn without_gateway() -> Summary {
    settled(ConditionOutcome::yes(
        condition::REASON_READY,
        "gateway pods are disabled; labelled pods get a sidecar",
    ))
}

/// While `spec.suspend` is true: whether the endpoint serves, and that the operator changes nothing.
pub(crate) fn suspended(serves: bool, gateway: Option<&ConditionOutcome>) -> Summary {
    let suspended =
        "Suspended: the operator changes no owned object. Set spec.suspend to false to resume.";
    let message = match gateway {
        Some(gateway) => format!("{suspended} {}", gateway.message),
        None => suspended.to_owned(),
    };
    let waits = || ConditionOutcome::no(condition::REASON_SUSPENDED, suspended);
    Summary {
        ready: if serves {
            ConditionOutcome::yes(condition::REASON_SUSPENDED, message)
        } else {
            ConditionOutcome::no(condition::REASON_SUSPENDED, message)
        },
        reconciling: waits(),
        stalled: waits(),
    }
}

fn of_rollout(
    rollout: Rollout,
    gateway: &ConditionOutcome,
    credentials: &ConditionOutcome,
    pods: &[PodState],
) -> Summary {
    if rollout.observed && rollout.wanted == 0 {
        return settled(gateway.clone());
    }
    if rollout.complete() && rollout.available > 0 {
        let ready = ConditionOutcome::yes(condition::REASON_READY, gateway.message.clone());
        return if rollout.available >= rollout.wanted {
            settled(ready)
        } else {
            moving(ready, condition::REASON_ROLLING_OUT, &gateway.message)
        };
    }
    let (reason, message) = obstacle(rollout, gateway, credentials, pods);
    if rollout.stuck {
        return stalled(&reason, &message);
    }
    let ready = ConditionOutcome::no(&reason, message.clone());
    moving(ready, condition::REASON_ROLLING_OUT, &message)
}

/// What prevents readiness: credentials first, since users have to fix these.
fn obstacle(
    rollout: Rollout,
    gateway: &ConditionOutcome,
    credentials: &ConditionOutcome,
    pods: &[PodState],
) -> (String, String) {
    if credentials.state == ConditionStatus::False {
        return (credentials.reason.clone(), credentials.message.clone());
    }
    if let Some(blocked) = blocked(pods) {
        return blocked;
    }
    if gateway.state == ConditionStatus::False {
        return (gateway.reason.clone(), gateway.message.clone());
    }
    (
        condition::REASON_ROLLING_OUT.to_owned(),
        format!(
            "{} of {} gateway pods are up to date",
            rollout.updated, rollout.wanted
        ),
    )
}

fn settled(ready: ConditionOutcome) -> Summary {
    Summary {
        ready,
        reconciling: ConditionOutcome::no(
            condition::REASON_UP_TO_DATE,
            "The cluster matches the spec.",
        ),
        stalled: not_stalled(),
    }
}

fn moving(ready: ConditionOutcome, reason: &str, message: &str) -> Summary {
    Summary {
        ready,
        reconciling: ConditionOutcome::yes(reason, message),
        stalled: not_stalled(),
    }
}

fn stalled(reason: &str, message: &str) -> Summary {
    Summary {
        ready: ConditionOutcome::no(reason, message),
        reconciling: ConditionOutcome::no(
            reason,
            "Blocked until the spec or the policy changes; see Ready.",
        ),
        stalled: ConditionOutcome::yes(reason, message),
    }
}

fn not_stalled() -> ConditionOutcome {
    ConditionOutcome::no(condition::REASON_UP_TO_DATE, "No action needed.")
}
