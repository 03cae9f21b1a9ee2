//! Health of targets: a target that fails repeatedly is ejected for some time, is then probed, and returns slowly.
//!
//! An ejected target comes after all others in the order of attempts, so that a request reaches it only if every other
//! target has failed. The last target of a model is therefore never without requests. The time doubles with each
//! ejection. After it, one request at a time probes the target, so that only one pays if it still fails. After the first success, the target
//! gets a growing share of its conversations, always the same ones first, so that each moves at most once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use api::config::Routing;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Longest ejection without `Retry-After`.
const LONGEST: Duration = Duration::from_mins(5);
/// Longest `Retry-After` that is respected.
const LONGEST_ASKED: Duration = Duration::from_hours(1);
/// A shorter `Retry-After` is a pause between attempts, not an ejection.
const SHORTEST_ASKED: Duration = Duration::from_secs(5);
/// Time after which another request probes a target, if the last probe has no result.
const PROBE: Duration = Duration::from_secs(30);
/// Time from the first success until a target gets all of its conversations.
const SLOW_START: Duration = Duration::from_secs(30);
/// Its share at the start.
const FIRST_SHARE: f64 = 0.1;
/// Time without failures after which an ejection is forgotten.
const FORGET: Duration = Duration::from_mins(5);

/// How bad a failure is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Before the first byte: another target can respond.
    Hidden,
    /// In the middle of a response: the client sees it, so it counts twice.
    Visible,
}

/// Whether a target gets a request before targets that are worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// Only as the probe of the target.
    AsProbe,
    Refused,
}

/// The health of one target, shared by all its uses.
#[derive(Debug)]
pub(crate) struct TargetHealth {
    /// Failures until the target is ejected; 0 for never.
    limit: u32,
    /// Time of the first ejection.
    first: Duration,
    state: Mutex<State>,
}

/// The ejections of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ejections {
    /// Time until the target returns, if it is ejected.
    pub(crate) left: Option<Duration>,
    /// Length of the last ejection.
    pub(crate) last: Duration,
    pub(crate) total: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// Consecutive failures.
    failures: u32,
    /// Time of the last one.
    failed_at: Option<Instant>,
    /// Ejections that are not forgotten.
    ejections: u32,
    /// All ejections.
    total: u64,
    /// Length of the last ejection.
    last: Duration,
    /// End of the last ejection.
    until: Option<Instant>,
    /// Start of the last probe after it.
    probed_at: Option<Instant>,
    /// First success after it.
    returned_at: Option<Instant>,
}

/// The state of a target at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Healthy,
    Ejected,
    /// The ejection is over, and no request has succeeded since.
    Probing,
    /// Time since the first success.
    Returning(Duration),
}

/// The health of all targets of a configuration, by their seeds. A new configuration takes over that of the targets
/// that it keeps.
#[derive(Clone, Debug, Default)]
pub(crate) struct HealthByTarget(HashMap<u64, Arc<TargetHealth>>);

impl HealthByTarget {
    /// The health of a target: that of `previous` if its settings are the same.
    pub(crate) fn of(
        &mut self,
        seed: u64,
        routing: &Routing,
        previous: Option<&Self>,
    ) -> Arc<TargetHealth> {
        let new = || {
            let kept = previous.and_then(|previous| previous.0.get(&seed));
            let health = TargetHealth::new(routing);
            match kept {
                Some(kept) if kept.limit == health.limit && kept.first == health.first => {
                    Arc::clone(kept)
                }
                _ => Arc::new(health),
            }
        };
        Arc::clone(self.0.entry(seed).or_insert_with(new))
    }
}

impl TargetHealth {
    pub(crate) fn new(routing: &Routing) -> Self {
        Self {
            limit: routing.eject_after_failures,
            first: Duration::from_secs(routing.eject_seconds),
            state: Mutex::default(),
        }
    }

    /// Whether the target gets requests with this key before targets that are worse. `seed`: of the target.
    pub(crate) fn admission(&self, key: u64, seed: u64, now: Instant) -> Admission {
        let state = self.lock();
        match state.phase(now) {
            Phase::Healthy => Admission::Admitted,
            Phase::Ejected => Admission::Refused,
            Phase::Probing if state.is_probed(now) => Admission::Refused,
            Phase::Probing => Admission::AsProbe,
            Phase::Returning(since) => {
                let share = since.as_secs_f64() / SLOW_START.as_secs_f64();
                // Of other bits than the rendezvous hash.
                let place = fraction(xxh3_64_with_seed(&key.to_le_bytes(), !seed));
                if place < share.max(FIRST_SHARE) {
                    Admission::Admitted
                } else {
                    Admission::Refused
                }
            }
        }
    }

    /// Begins a probe, if the target needs one; `false` if another request probes it.
    pub(crate) fn try_probe(&self, now: Instant) -> bool {
        let mut state = self.lock();
        if state.phase(now) != Phase::Probing {
            return true;
        }
        let is_free = !state.is_probed(now);
        if is_free {
            state.probed_at = Some(now);
        }
        is_free
    }

    /// The target has responded completely to a request that it got at `began`. A success that began before the last
    /// failure proves nothing: long streams end well while new requests fail.
    pub(crate) fn succeeded(&self, began: Instant) {
        let mut state = self.lock();
        if state.failed_at.is_none_or(|failed_at| began > failed_at) {
            state.failures = 0;
            let now = Instant::now();
            if state.phase(now) == Phase::Probing {
                state.returned_at = Some(now);
            }
        }
    }

    /// A request that the target got at `began` has failed. Returns the time of the ejection if this failure caused one. A failure
    /// that began before the end of the last ejection says nothing about the time after it.
    pub(crate) fn failed(
        &self,
        failure: Failure,
        began: Instant,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        if self.limit == 0 {
            return None;
        }
        let now = Instant::now();
        let mut state = self.lock();
        if state.until.is_some_and(|until| began < until) {
            return None;
        }
        state.failed_at = Some(now);
        let weight = match failure {
            Failure::Hidden => 1,
            Failure::Visible => 2,
        };
        state.failures = state.failures.saturating_add(weight);
        let asked = asked.filter(|asked| *asked > SHORTEST_ASKED);
        let is_healthy = state.phase(now) == Phase::Healthy;
        if state.failures < self.limit && is_healthy && asked.is_none() {
            return None;
        }
        let since = state.until.map(|until| now.duration_since(until));
        if since.is_some_and(|since| since >= FORGET) {
            state.ejections = 0;
        }
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(state.ejections));
        let time = doubled
            .min(LONGEST)
            .max(asked.unwrap_or_default().min(LONGEST_ASKED));
        *state = State {
            failures: 0,
            failed_at: state.failed_at,
            ejections: state.ejections.saturating_add(1),
            total: state.total.saturating_add(1),
            last: time,
            until: now.checked_add(time),
            probed_at: None,
            returned_at: None,
        };
        Some(time)
    }

    pub(crate) fn ejections(&self) -> Ejections {
        let state = *self.lock();
        let left = state.until.and_then(|until| {
            let left = until.duration_since(Instant::now());
            (!left.is_zero()).then_some(left)
        });
        Ejections {
            left,
            last: state.last,
            total: state.total,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn phase(&self, now: Instant) -> Phase {
        match (self.until, self.returned_at) {
            (None, _) => Phase::Healthy,
            (Some(until), _) if now < until => Phase::Ejected,
            (Some(_), None) => Phase::Probing,
            (Some(_), Some(at)) => {
                let since = now.duration_since(at);
                if since < SLOW_START {
                    Phase::Returning(since)
                } else {
                    Phase::Healthy
                }
            }
        }
    }

    /// Whether a request probes the target.
    fn is_probed(&self, now: Instant) -> bool {
        self.probed_at
            .is_some_and(|at| now.duration_since(at) < PROBE)
    }
}

/// A hash as a number in (0, 1).
pub(crate) fn fraction(hash: u64) -> f64 {
    let high = u32::try_from(hash >> 32).unwrap_or_default();
    (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests;
