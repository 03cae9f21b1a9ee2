//! `Ready`, `Reconciling` and `Stalled`: the summary, as kstatus reads it.

use api::v1alpha1::condition;

use super::{
    State, Verdict,
    gateway::{Rollout, blocked},
};
use crate::access::{Error, observe::PodFacts};

/// The three conditions of the summary.
#[derive(Debug)]
pub(in crate::access::status) struct Summary {
    pub(in crate::access::status) ready: Verdict,
    pub(in crate::access::status) reconciling: Verdict,
    pub(in crate::access::status) stalled: Verdict,
}

pub(in crate::access::status) fn summary(
    rollout: Rollout,
    gateway: &Verdict,
    credentials: &Verdict,
    pods: &[PodFacts],
    error: Option<&Error>,
) -> Summary {
    match error {
        Some(error) if error.needs_a_change() => stalled(error.reason(), &error.explain()),
        Some(error) => moving(
            Verdict::new(State::False, error.reason(), error.explain()),
            error.reason(),
            &error.explain(),
        ),
        None => of_rollout(rollout, gateway, credentials, pods),
    }
}

/// Where there are only sidecars, all is in place once their configuration is: how each of them does is
/// the matter of its pod.
pub(in crate::access::status) fn without_gateway() -> Summary {
    settled(Verdict::new(
        State::True,
        condition::REASON_READY,
        "there are to be no gateway pods; pods that ask for it get the gateway as a sidecar",
    ))
}

/// While `spec.suspend` is true: whether the endpoint serves, and that the operator changes nothing.
pub(in crate::access::status) fn suspended(serves: bool, gateway: Option<&Verdict>) -> Summary {
    let suspended =
        "Suspended: the operator changes no managed object. Set spec.suspend to false to resume.";
    let message = match gateway {
        Some(gateway) => format!("{suspended} {}", gateway.message),
        None => suspended.to_owned(),
    };
    let state = if serves { State::True } else { State::False };
    let waits = || Verdict::new(State::False, condition::REASON_SUSPENDED, suspended);
    Summary {
        ready: Verdict::new(state, condition::REASON_SUSPENDED, message),
        reconciling: waits(),
        stalled: waits(),
    }
}

fn of_rollout(
    rollout: Rollout,
    gateway: &Verdict,
    credentials: &Verdict,
    pods: &[PodFacts],
) -> Summary {
    if rollout.observed && rollout.wanted == 0 {
        return settled(gateway.clone());
    }
    if rollout.complete() && rollout.available > 0 {
        let ready = Verdict::new(
            State::True,
            condition::REASON_READY,
            gateway.message.clone(),
        );
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
    let ready = Verdict::new(State::False, &reason, message.clone());
    moving(ready, condition::REASON_ROLLING_OUT, &message)
}

/// What stands in the way: credentials first, since that is what people have to put right.
fn obstacle(
    rollout: Rollout,
    gateway: &Verdict,
    credentials: &Verdict,
    pods: &[PodFacts],
) -> (String, String) {
    if credentials.state == State::False {
        return (credentials.reason.clone(), credentials.message.clone());
    }
    if let Some(blocked) = blocked(pods) {
        return blocked;
    }
    if gateway.state == State::False {
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

fn settled(ready: Verdict) -> Summary {
    Summary {
        ready,
        reconciling: Verdict::new(
            State::False,
            condition::REASON_UP_TO_DATE,
            "the cluster holds what the spec asks for",
        ),
        stalled: not_stalled(),
    }
}

fn moving(ready: Verdict, reason: &str, message: &str) -> Summary {
    Summary {
        ready,
        reconciling: Verdict::new(State::True, reason, message),
        stalled: not_stalled(),
    }
}

fn stalled(reason: &str, message: &str) -> Summary {
    Summary {
        ready: Verdict::new(State::False, reason, message),
        reconciling: Verdict::new(State::False, reason, "waiting for a change by somebody"),
        stalled: Verdict::new(State::True, reason, message),
    }
}

fn not_stalled() -> Verdict {
    Verdict::new(
        State::False,
        condition::REASON_UP_TO_DATE,
        "nothing waits for somebody to change it",
    )
}
