//! Retry policy: whether, on which target and after which pause. Pure.
//!
//! The next target is tried at once; a pause follows only after all targets have failed. Pauses double and have
//! jitter, so that clients that were throttled together do not retry together.

use std::time::Duration;

use crate::http::error::GatewayError;

/// Maximum number of attempts if there are fewer targets.
const MAX_ATTEMPTS: usize = 3;
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

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

    /// The step after `error`; `random` is in [0, 1).
    pub(crate) fn after(&mut self, error: &GatewayError, random: f64) -> Next {
        if !error.is_local() || self.attempts >= self.alive.len().max(MAX_ATTEMPTS) {
            return Next::GiveUp;
        }
        if !error.is_transient()
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
                    let wait = pause(self.round, random);
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
