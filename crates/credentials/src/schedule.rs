//! Refresh and retry times: pure arithmetic; callers pass the random number.
//!
//! Refresh after 60–75 % of the lifetime, so that an outage of a quarter of the lifetime has no effect and pods
//! that started together do not refresh together. After a failure: exponential backoff with jitter and an upper
//! bound, shorter as the expiration approaches. The bounds scale with the lifetime, so that credentials with a
//! lifetime of 20 s work too.

use std::time::Duration;

/// First pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest pause while the current credentials are valid, or when an earlier retry cannot help.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Longest pause without valid credentials while the source is unavailable.
const LONGEST_PAUSE_WITHOUT_CREDENTIALS: Duration = Duration::from_secs(5);
/// Pause between two refreshes forced by rejected requests.
const FORCED_PAUSE: Duration = Duration::from_secs(1);
/// Shortest pause.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Time from obtaining credentials of this lifetime to refreshing them. `random` is in `0..1`.
pub(crate) fn refresh_after(lifetime: Duration, random: f64) -> Duration {
    lifetime
        .mul_f64(0.60 + 0.15 * random.clamp(0.0, 1.0))
        .max(SHORTEST_PAUSE)
}

/// Time to wait after the `failures`-th consecutive failure (the first is 1).
///
/// `remaining` is the remaining lifetime of valid credentials, if any. `outage` is true if the source was
/// unavailable, false if it rejected the request.
pub(crate) fn retry_after(
    failures: u32,
    remaining: Option<Duration>,
    outage: bool,
    random: f64,
) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1_u32 << failures.saturating_sub(1).min(16));
    let bound = match remaining {
        Some(remaining) => (remaining / 10).clamp(FIRST_PAUSE, LONGEST_PAUSE),
        None if outage => LONGEST_PAUSE_WITHOUT_CREDENTIALS,
        None => LONGEST_PAUSE,
    };
    doubled
        .min(bound)
        .mul_f64(0.5 + 0.5 * random.clamp(0.0, 1.0))
        .max(SHORTEST_PAUSE)
}

/// Minimum time between two forced refreshes of credentials of this lifetime.
pub(crate) fn forced_pause(lifetime: Option<Duration>) -> Duration {
    lifetime.map_or(FORCED_PAUSE, |lifetime| {
        (lifetime / 20).clamp(SHORTEST_PAUSE, FORCED_PAUSE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 0.999_999];

    #[test]
    fn refreshes_between_60_and_75_percent_of_the_lifetime() {
        for seconds in [20_u32, 900, 3600, 43_200] {
            let lifetime = Duration::from_secs(u64::from(seconds));
            for random in RANDOM {
                let share = refresh_after(lifetime, random).as_secs_f64() / f64::from(seconds);
                assert!((0.60..=0.75).contains(&share), "{seconds} s: {share}");
            }
        }
    }

    #[test]
    fn pauses_grow_and_stay_within_bounds() {
        for random in RANDOM {
            for failures in 1..100 {
                for (remaining, outage, bound) in [
                    (Some(Duration::from_hours(1)), true, LONGEST_PAUSE),
                    (None, true, LONGEST_PAUSE_WITHOUT_CREDENTIALS),
                    (None, false, LONGEST_PAUSE),
                ] {
                    let pause = retry_after(failures, remaining, outage, random);
                    assert!(
                        pause >= SHORTEST_PAUSE && pause <= bound,
                        "{failures}: {pause:?}"
                    );
                    assert!(pause >= FIRST_PAUSE / 2, "{failures}: {pause:?}");
                }
            }
        }
        let pause = |failures| retry_after(failures, None, false, 1.0);
        assert!(pause(1) < pause(2) && pause(2) < pause(3));
    }

    #[test]
    fn retries_more_often_shortly_before_expiration() {
        let pause = |remaining| retry_after(20, Some(Duration::from_secs(remaining)), true, 1.0);
        assert_eq!(pause(3600), LONGEST_PAUSE);
        assert_eq!(pause(60), Duration::from_secs(6));
        assert_eq!(pause(2), FIRST_PAUSE);
    }
}
