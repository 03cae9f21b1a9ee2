//! Delays of retries: exponential backoff and jitter, as pure functions of their inputs.

use std::{
    hash::{BuildHasher, Hash, RandomState},
    time::Duration,
};

/// Delay after the first failure.
const FIRST: Duration = Duration::from_secs(1);
/// Longest delay after failures.
const LONGEST: Duration = Duration::from_mins(5);
/// Shortest delay until a `BedrockAccess` that is not ready is reconciled again.
const SOONEST_RECHECK: Duration = Duration::from_secs(3);
/// Longest delay until a `BedrockAccess` that is not ready is reconciled again.
const LATEST_RECHECK: Duration = Duration::from_mins(1);

/// Source of jitter: seeded once for each process, mixed with a key of the caller.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seed(RandomState);

impl Seed {
    /// A uniformly distributed number for this key.
    pub(crate) fn number(&self, key: impl Hash) -> u64 {
        self.0.hash_one(key)
    }
}

/// Delay before attempt `failures` + 1: doubles from one second to five minutes, minus up to a fifth, so that objects
/// that failed together are not retried together.
pub(crate) fn after_failures(failures: u32, seed: u64) -> Duration {
    let doubled = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    less_up_to_a_fifth(doubled.min(LONGEST), seed)
}

/// Delay before the next check of an object that has not been ready for `age`: short at first, one minute at most.
pub(crate) fn while_not_ready(age: Duration, seed: u64) -> Duration {
    less_up_to_a_fifth((age / 4).clamp(SOONEST_RECHECK, LATEST_RECHECK), seed)
}

/// `period`, minus up to a fifth.
pub(crate) fn less_up_to_a_fifth(period: Duration, seed: u64) -> Duration {
    let thousandths = u32::try_from(seed % 200).unwrap_or_default();
    period.saturating_sub(period.saturating_mul(thousandths) / 1000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn backoff_stays_between_its_bounds(failures in 0_u32..10_000, seed: u64) {
            let wait = after_failures(failures, seed);
            prop_assert!(wait >= FIRST * 4 / 5 && wait <= LONGEST);
        }

        #[test]
        fn recheck_stays_between_its_bounds(age in 0_u64..1_000_000, seed: u64) {
            let wait = while_not_ready(Duration::from_secs(age), seed);
            prop_assert!(wait >= SOONEST_RECHECK * 4 / 5 && wait <= LATEST_RECHECK);
        }
    }

    #[test]
    fn waits_double_until_the_longest() {
        let waits: Vec<u64> = (1..=10).map(|n| after_failures(n, 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]);
    }

    #[test]
    fn keys_get_different_jitter() {
        let seed = Seed::default();
        let waits: std::collections::BTreeSet<_> = (0..50)
            .map(|key| after_failures(9, seed.number(key)))
            .collect();
        assert!(waits.len() > 20, "{waits:?}");
    }
}
