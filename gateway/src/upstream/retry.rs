//! Retry policy: whether, on which target and after which pause; and a budget, so that retries do not prolong an outage.
//!
//! The next target is tried at once; a pause follows only after all targets have failed. Pauses double and have
//! jitter, so that clients that were throttled together do not retry together. A `Retry-After` of AWS is respected: a
//! target that asks for a long pause gets no other attempt.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use crate::http::error::GatewayError;

/// Maximum number of attempts if there are fewer targets.
const MAX_ATTEMPTS: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Retries for each request, in the long run.
const RETRY_RATIO: f64 = 0.2;
/// Retries for each second, so that a gateway with few requests retries as well.
const RETRIES_PER_SECOND: f64 = 1.0;
/// Most retries that can be saved up.
const MAX_RETRIES: f64 = 100.0;
/// Retries that time alone saves up, and those at the start.
const FREE_RETRIES: f64 = 10.0;

/// A budget of retries that all requests of a gateway share.
#[derive(Debug)]
pub(crate) struct RetryBudget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    retries: f64,
    /// Time of the last change.
    at: Option<Instant>,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self(Mutex::new(Balance {
            retries: FREE_RETRIES,
            at: None,
        }))
    }
}

impl RetryBudget {
    /// Counts a request.
    pub(crate) fn deposit(&self) {
        let mut balance = self.balance();
        balance.retries = (balance.retries + RETRY_RATIO).min(MAX_RETRIES);
    }

    /// Takes one retry; `false` if the budget is used up.
    pub(crate) fn withdraw(&self) -> bool {
        let mut balance = self.balance();
        if balance.retries < 1.0 {
            return false;
        }
        balance.retries -= 1.0;
        true
    }

    fn balance(&self) -> MutexGuard<'_, Balance> {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let passed = balance
            .at
            .replace(now)
            .map_or(0.0, |at| (now - at).as_secs_f64());
        if balance.retries < FREE_RETRIES {
            let more = passed * RETRIES_PER_SECOND;
            balance.retries = (balance.retries + more).min(FREE_RETRIES);
        }
        balance
    }
}

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct Plan {
    /// Whether a retry on the target may succeed.
    alive: Vec<bool>,
    current: usize,
    attempts: usize,
    round: u32,
}

/// The step after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    GiveUp,
    Try { target: usize, wait: Duration },
}

impl Plan {
    /// A plan that begins with target 0.
    pub(crate) fn new(targets: usize) -> Self {
        Self {
            alive: vec![true; targets],
            current: 0,
            attempts: 1,
            round: 0,
        }
    }

    /// Whether a target after the current one is left.
    pub(crate) fn has_later(&self) -> bool {
        let later = self.alive.get(self.current.saturating_add(1)..);
        later.is_some_and(|later| later.contains(&true))
    }

    /// The step after `error`; `random` is in [0, 1).
    pub(crate) fn after(&mut self, error: &GatewayError, random: f64) -> Next {
        if !error.is_local() || self.attempts >= self.alive.len().max(MAX_ATTEMPTS) {
            return Next::GiveUp;
        }
        let asked = error.retry_after();
        let is_far = asked.is_some_and(|asked| asked > LONGEST_PAUSE);
        if (is_far || !error.is_transient())
            && let Some(alive) = self.alive.get_mut(self.current)
        {
            *alive = false;
        }
        let alive = |index: &usize| self.alive.get(*index).copied().unwrap_or(false);
        let later = (self.current.saturating_add(1)..self.alive.len()).find(alive);
        let (target, wait) = match later {
            Some(target) => (target, Duration::ZERO),
            None => match (0..self.alive.len()).find(alive) {
                Some(target) => {
                    let wait = pause(self.round, random).max(asked.unwrap_or_default());
                    self.round = self.round.saturating_add(1);
                    (target, wait)
                }
                None => return Next::GiveUp,
            },
        };
        self.current = target;
        self.attempts = self.attempts.saturating_add(1);
        Next::Try { target, wait }
    }
}

/// A pause that doubles each round, reduced by up to half at random.
fn pause(round: u32, random: f64) -> Duration {
    let full = FIRST_PAUSE
        .saturating_mul(2_u32.saturating_pow(round))
        .min(LONGEST_PAUSE);
    full.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use bedrock::ServiceError;
    use proptest::prelude::*;

    use super::*;
    use crate::http::error::Refusal;

    fn error(name: &str, status: u16) -> GatewayError {
        GatewayError::Service(Box::new(Refusal {
            error: ServiceError {
                status,
                name: name.to_owned(),
                message: "m".to_owned(),
                request_id: None,
            },
            model_id: String::new(),
            region: String::new(),
            original: None,
        }))
    }

    #[tokio::test(start_paused = true)]
    async fn retries_are_a_fifth_of_the_requests_and_some_for_each_second() {
        let budget = RetryBudget::default();
        let taken = |requests: usize| {
            let mut taken = 0;
            for _ in 0..requests {
                budget.deposit();
                taken += usize::from(budget.withdraw());
                taken += usize::from(budget.withdraw());
            }
            taken
        };
        let first = taken(10);
        assert!(
            (11..=12).contains(&first),
            "ten at the start, and a fifth: {first}"
        );
        let many = taken(1000);
        assert!((195..=205).contains(&many), "{many}");
        tokio::time::advance(Duration::from_secs(5)).await;
        let later = taken(10);
        assert!((6..=8).contains(&later), "five, and a fifth: {later}");
    }

    #[test]
    fn a_long_retry_after_ends_the_attempts_on_a_target_and_a_short_one_is_the_pause() {
        let asks = |seconds: &'static str| {
            let GatewayError::Service(mut refusal) = throttled() else {
                panic!("not a refusal")
            };
            let mut headers = http::HeaderMap::new();
            headers.insert("retry-after", http::HeaderValue::from_static(seconds));
            refusal.original = Some(crate::http::error::Original {
                status: http::StatusCode::TOO_MANY_REQUESTS,
                headers,
                body: bytes::Bytes::new(),
            });
            GatewayError::Service(refusal)
        };
        assert_eq!(Plan::new(1).after(&asks("30"), 0.0), Next::GiveUp);
        let wait = Duration::from_secs(2);
        assert_eq!(
            Plan::new(1).after(&asks("2"), 0.0),
            Next::Try { target: 0, wait }
        );
        let mut plan = Plan::new(2);
        let next = Next::Try {
            target: 1,
            wait: Duration::ZERO,
        };
        assert_eq!(plan.after(&asks("30"), 0.0), next);
        assert!(matches!(
            plan.after(&throttled(), 0.0),
            Next::Try { target: 1, .. }
        ));
    }

    fn throttled() -> GatewayError {
        error("ThrottlingException", 429)
    }

    #[test]
    fn one_target_gets_three_attempts_with_growing_pauses() {
        let mut plan = Plan::new(1);
        let pauses: Vec<Next> = (0..3).map(|_| plan.after(&throttled(), 0.0)).collect();
        assert_eq!(
            pauses,
            [
                Next::Try {
                    target: 0,
                    wait: Duration::from_millis(125)
                },
                Next::Try {
                    target: 0,
                    wait: Duration::from_millis(250)
                },
                Next::GiveUp,
            ]
        );
    }

    #[test]
    fn next_target_is_tried_at_once_and_the_first_after_a_pause() {
        let mut plan = Plan::new(2);
        assert_eq!(
            plan.after(&throttled(), 0.0),
            Next::Try {
                target: 1,
                wait: Duration::ZERO
            }
        );
        assert_eq!(
            plan.after(&throttled(), 0.0),
            Next::Try {
                target: 0,
                wait: Duration::from_millis(125)
            }
        );
        assert_eq!(plan.after(&throttled(), 0.0), Next::GiveUp);
    }

    #[test]
    fn the_last_target_has_no_later_one_even_after_a_failure() {
        assert!(!Plan::new(1).has_later());
        let mut plan = Plan::new(2);
        assert!(plan.has_later());
        plan.after(&throttled(), 0.0);
        assert!(!plan.has_later());
    }

    #[test]
    fn target_with_a_permanent_error_is_not_retried() {
        let mut plan = Plan::new(2);
        let timeout = error("ModelTimeoutException", 408);
        assert!(matches!(
            plan.after(&timeout, 0.0),
            Next::Try { target: 1, .. }
        ));
        assert!(matches!(
            plan.after(&throttled(), 0.0),
            Next::Try { target: 1, .. }
        ));
        let mut plan = Plan::new(1);
        assert_eq!(plan.after(&timeout, 0.0), Next::GiveUp);
    }

    #[test]
    fn invalid_request_is_never_retried() {
        for (name, status) in [
            ("ValidationException", 400),
            ("AccessDeniedException", 403),
            ("ResourceNotFoundException", 404),
            ("UnrecognizedClientException", 403),
        ] {
            assert_eq!(
                Plan::new(3).after(&error(name, status), 0.0),
                Next::GiveUp,
                "{name}"
            );
        }
    }

    proptest! {
        #[test]
        fn pause_stays_within_its_bounds(round in any::<u32>(), random in 0.0..1.0_f64) {
            let pause = pause(round, random);
            prop_assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE);
        }

        #[test]
        fn plan_ends_and_stays_within_its_targets(
            targets in 1..6_usize,
            kinds in prop::collection::vec(any::<bool>(), 32),
        ) {
            let mut plan = Plan::new(targets);
            let mut tries = 1;
            for transient in kinds {
                let error = if transient { throttled() } else { error("ModelErrorException", 424) };
                match plan.after(&error, 0.5) {
                    Next::GiveUp => break,
                    Next::Try { target, .. } => {
                        prop_assert!(target < targets);
                        tries += 1;
                    }
                }
            }
            prop_assert!(tries <= targets.max(MAX_ATTEMPTS));
        }
    }
}
