//! Health of targets: a target that fails repeatedly is ejected for some time, and returns slowly.
//!
//! An ejected target comes after all others in the order of attempts, so that a request reaches it only if every other
//! target has failed. The last target of a model is therefore never without requests. The time doubles with each
//! ejection. After it, the target gets a growing share of its conversations, always the same ones first, so that each moves
//! at most once.

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
/// Time until a target that has returned gets all of its conversations.
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
    pub(crate) fn admits(&self, key: u64, seed: u64, now: Instant) -> bool {
        let Some(until) = self.lock().until else {
            return true;
        };
        if now < until {
            return false;
        }
        let since = now.duration_since(until);
        since >= SLOW_START || {
            let share = since.as_secs_f64() / SLOW_START.as_secs_f64();
            // Of other bits than the rendezvous hash.
            fraction(xxh3_64_with_seed(&key.to_le_bytes(), !seed)) < share.max(FIRST_SHARE)
        }
    }

    /// The target has responded completely to a request that it got at `began`. A success that began before the last
    /// failure proves nothing: long streams end well while new requests fail.
    pub(crate) fn succeeded(&self, began: Instant) {
        let mut state = self.lock();
        if state.failed_at.is_none_or(|failed_at| began > failed_at) {
            state.failures = 0;
        }
    }

    /// The target has failed. Returns the time of its ejection if this failure caused one.
    pub(crate) fn failed(&self, failure: Failure, asked: Option<Duration>) -> Option<Duration> {
        if self.limit == 0 {
            return None;
        }
        let now = Instant::now();
        let mut state = self.lock();
        state.failed_at = Some(now);
        let since = state.until.map(|until| now.checked_duration_since(until));
        // A request that was sent before the ejection.
        if since == Some(None) {
            return None;
        }
        let since = since.flatten();
        let weight = match failure {
            Failure::Hidden => 1,
            Failure::Visible => 2,
        };
        state.failures = state.failures.saturating_add(weight);
        let asked = asked.filter(|asked| *asked > SHORTEST_ASKED);
        let is_returning = since.is_some_and(|since| since < SLOW_START);
        if state.failures < self.limit && !is_returning && asked.is_none() {
            return None;
        }
        if since.is_some_and(|since| since >= FORGET) {
            state.ejections = 0;
        }
        let doubled = self
            .first
            .saturating_mul(2_u32.saturating_pow(state.ejections));
        let time = doubled
            .min(LONGEST)
            .max(asked.unwrap_or_default().min(LONGEST_ASKED));
        state.failures = 0;
        state.ejections = state.ejections.saturating_add(1);
        state.total = state.total.saturating_add(1);
        state.last = time;
        state.until = now.checked_add(time);
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

/// A hash as a number in (0, 1).
pub(crate) fn fraction(hash: u64) -> f64 {
    let high = u32::try_from(hash >> 32).unwrap_or_default();
    (f64::from(high) + 0.5) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u64 = 7;

    fn health() -> TargetHealth {
        TargetHealth::new(&Routing::default())
    }

    /// The share of keys that the target admits.
    fn share(health: &TargetHealth) -> f64 {
        let now = Instant::now();
        let admitted = (0..1000)
            .filter(|key| health.admits(*key, SEED, now))
            .count();
        f64::from(u32::try_from(admitted).unwrap()) / 1000.0
    }

    #[tokio::test(start_paused = true)]
    async fn consecutive_failures_eject_a_target_and_it_returns_slowly() {
        let health = health();
        for _ in 0..4 {
            assert_eq!(health.failed(Failure::Hidden, None), None);
        }
        health.succeeded(Instant::now());
        tokio::time::advance(Duration::from_millis(1)).await;
        health.succeeded(Instant::now());
        for _ in 0..4 {
            assert_eq!(health.failed(Failure::Hidden, None), None);
        }
        assert!((share(&health) - 1.0).abs() < f64::EPSILON);
        let ten = Duration::from_secs(10);
        assert_eq!(health.failed(Failure::Hidden, None), Some(ten));
        let ejections = |left| Ejections {
            left,
            last: ten,
            total: 1,
        };
        assert_eq!(health.ejections(), ejections(Some(ten)));
        assert!(share(&health) < f64::EPSILON);
        tokio::time::advance(ten).await;
        assert_eq!(health.ejections(), ejections(None));
        assert!((0.07..0.13).contains(&share(&health)), "{}", share(&health));
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!((0.45..0.55).contains(&share(&health)), "{}", share(&health));
        tokio::time::advance(Duration::from_secs(15)).await;
        assert!((share(&health) - 1.0).abs() < f64::EPSILON);
    }

    #[tokio::test(start_paused = true)]
    async fn a_response_that_began_before_a_failure_does_not_end_the_count() {
        let health = health();
        let began = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        let ejected = (0..5).filter_map(|_| {
            health.succeeded(began);
            health.failed(Failure::Hidden, None)
        });
        assert_eq!(ejected.count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn each_ejection_takes_twice_as_long_up_to_five_minutes_and_is_forgotten_later() {
        let health = health();
        let mut times = Vec::new();
        for _ in 0..8 {
            // The first one needs five failures; each later one a single failure in the slow start.
            let ejected = (0..5).find_map(|_| health.failed(Failure::Hidden, None));
            let time = ejected.unwrap();
            times.push(time.as_secs());
            tokio::time::advance(time).await;
        }
        assert_eq!(times, [10, 20, 40, 80, 160, 300, 300, 300]);
        tokio::time::advance(FORGET).await;
        let again = (0..5).find_map(|_| health.failed(Failure::Hidden, None));
        assert_eq!(again, Some(Duration::from_secs(10)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_that_clients_see_counts_twice() {
        let health = health();
        assert_eq!(health.failed(Failure::Visible, None), None);
        assert_eq!(health.failed(Failure::Visible, None), None);
        assert!(health.failed(Failure::Visible, None).is_some());
        assert_eq!(
            health.failed(Failure::Visible, None),
            None,
            "a request from before"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_retry_after_ejects_at_once() {
        let seconds = Duration::from_secs;
        assert_eq!(health().failed(Failure::Hidden, Some(seconds(3))), None);
        let asked = Some(seconds(45));
        assert_eq!(health().failed(Failure::Hidden, asked), asked);
        assert_eq!(
            health().failed(Failure::Hidden, Some(seconds(6))),
            Some(seconds(10))
        );
        let days = Some(seconds(86_400));
        assert_eq!(health().failed(Failure::Hidden, days), Some(LONGEST_ASKED));
    }

    #[tokio::test(start_paused = true)]
    async fn ejection_can_be_disabled() {
        let health = TargetHealth::new(&Routing {
            eject_after_failures: 0,
            ..Routing::default()
        });
        for _ in 0..100 {
            assert_eq!(health.failed(Failure::Visible, Some(LONGEST)), None);
        }
        assert!((share(&health) - 1.0).abs() < f64::EPSILON);
    }
}
