//! What the requests of a gateway needed recently, so that it can get as much in advance. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::calls::BACKGROUND_PAUSE;

/// The part of what is left that a gateway gets in advance: one in this number. Others cannot use it for some milliseconds, so
/// it shrinks with what is left.
pub(in crate::pipeline) const SPARE_PART: u64 = 1024;
/// Time of a count: about the time between two calls in the background.
const PERIOD: Duration = BACKGROUND_PAUSE;
/// Number of requests in that time from which a gateway gets something in advance.
const BUSY: u64 = 2;

/// What requests have needed in the current and the previous period.
#[derive(Clone, Copy, Debug)]
pub(in crate::pipeline) struct Recent {
    began: Option<Instant>,
    current: Needed,
    previous: Needed,
}

#[derive(Clone, Copy, Debug, Default)]
struct Needed {
    requests: u64,
    amount: u64,
}

impl Recent {
    pub(in crate::pipeline) const NONE: Self = {
        let none = Needed {
            requests: 0,
            amount: 0,
        };
        Self {
            began: None,
            current: none,
            previous: none,
        }
    };

    /// Adds what a request needs.
    pub(in crate::pipeline) fn add(&mut self, amount: u64, now: Instant) {
        self.roll(now);
        let Needed {
            requests,
            amount: sum,
        } = &mut self.current;
        *requests = requests.saturating_add(1);
        *sum = sum.saturating_add(amount);
    }

    /// What to get in advance. `left`: what all gateways have left.
    pub(in crate::pipeline) fn spare(&mut self, left: u64, now: Instant) -> u64 {
        self.roll(now);
        let amount = |needed: Needed| {
            if needed.requests < BUSY {
                0
            } else {
                needed.amount
            }
        };
        let most = amount(self.current).max(amount(self.previous));
        most.min(left / SPARE_PART)
    }

    fn roll(&mut self, now: Instant) {
        let age = self.began.map(|began| now.duration_since(began));
        if age.is_some_and(|age| age < PERIOD) {
            return;
        }
        let is_next = age.is_some_and(|age| age < PERIOD.saturating_mul(2));
        self.previous = if is_next {
            self.current
        } else {
            Needed::default()
        };
        self.current = Needed::default();
        self.began = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_busy_gateways_needed_lately_is_expected_again() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let left = 100 * SPARE_PART;
        let mut recent = Recent::NONE;
        assert_eq!(recent.spare(left, at(0)), 0);
        recent.add(10, at(0));
        assert_eq!(recent.spare(left, at(0)), 0, "a lone request");
        recent.add(20, at(8));
        assert_eq!(recent.spare(left, at(8)), 30);
        // One request in this period, two in the one before.
        recent.add(70, at(10));
        assert_eq!(recent.spare(left, at(18)), 30);
        assert_eq!(recent.spare(left, at(20)), 0);
        assert_eq!(recent.spare(20 * SPARE_PART, at(8)), 0);
        for _ in 0..50 {
            recent.add(4, at(22));
        }
        assert_eq!(recent.spare(left, at(24)), 100, "not more than a part");
        assert_eq!(recent.spare(left, at(50)), 0);
    }
}
