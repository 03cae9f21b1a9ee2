//! Counts of requests and tokens, and the usage of each limit. Pure: the time is an argument, in milliseconds since 1970.
//!
//! The minute is a sliding window: the count of the previous minute is weighted by the part of it that lies within
//! the last 60 seconds, so that no client gets twice the limit around a full minute. Each limit needs two numbers,
//! which gateways can share. A day begins at midnight UTC.

use api::config::Rates;

use crate::http::over_limit::Kind;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Counts of a subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The current minute, counted from 1970.
    minute: u64,
    requests: Window,
    tokens: Window,
    /// The current day, counted from 1970.
    day: u64,
    tokens_of_day: u64,
}

/// Counts of the current and the previous minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    current: u64,
    previous: u64,
}

/// Usage of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) kind: Kind,
    pub(crate) limit: u64,
    pub(crate) used: u64,
    /// Milliseconds until a request is possible; 0 if it is possible now.
    pub(crate) frees_in: u64,
    /// Milliseconds until the usage is zero.
    pub(crate) resets_in: u64,
}

impl Usage {
    /// Whether the limit is reached.
    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Counts {
    /// Counts of a shared store at a time: requests of the current and the previous minute, tokens likewise, tokens
    /// of the day.
    pub(super) fn shared(at: u64, numbers: &[u64; 5]) -> Self {
        let [
            requests,
            requests_before,
            tokens,
            tokens_before,
            tokens_of_day,
        ] = *numbers;
        Self {
            minute: at / MINUTE,
            requests: Window {
                current: requests,
                previous: requests_before,
            },
            tokens: Window {
                current: tokens,
                previous: tokens_before,
            },
            day: at / DAY,
            tokens_of_day,
        }
    }

    /// The counts without requests of the current minute.
    pub(super) fn without_requests(mut self, requests: u64) -> Self {
        self.requests.current = self.requests.current.saturating_sub(requests);
        self
    }

    /// Adds a request.
    pub(crate) fn add_request(&mut self, now: u64) {
        self.roll(now);
        self.requests.current = self.requests.current.saturating_add(1);
    }

    /// Adds the tokens of a finished request.
    pub(crate) fn add_tokens(&mut self, tokens: u64, now: u64) {
        self.roll(now);
        self.tokens.current = self.tokens.current.saturating_add(tokens);
        self.tokens_of_day = self.tokens_of_day.saturating_add(tokens);
    }

    /// Whether a limit is reached. For most requests, nothing else must be known before they are counted.
    pub(super) fn is_full(&mut self, rates: &Rates, now: u64) -> bool {
        self.roll(now);
        let left = left_of_minute(now);
        let is_reached = |limit: Option<u64>, used: u64| limit.is_some_and(|limit| used >= limit);
        is_reached(rates.requests_per_minute, self.requests.used(left))
            || is_reached(rates.tokens_per_minute, self.tokens.used(left))
            || is_reached(rates.tokens_per_day, self.tokens_of_day)
    }

    /// The usage of each limit now.
    pub(crate) fn usage(&mut self, rates: &Rates, now: u64) -> impl Iterator<Item = Usage> + use<> {
        self.roll(now);
        let left = left_of_minute(now);
        let of_day = DAY.saturating_sub(now % DAY);
        let Self {
            requests,
            tokens,
            tokens_of_day,
            ..
        } = *self;
        let day = |limit| Usage {
            kind: Kind::TokensPerDay,
            limit,
            used: tokens_of_day,
            frees_in: if tokens_of_day < limit { 0 } else { of_day },
            resets_in: if tokens_of_day == 0 { 0 } else { of_day },
        };
        let window = |kind, window: Window, limit| Usage {
            kind,
            limit,
            used: window.used(left),
            frees_in: window.frees_in(limit, left),
            resets_in: window.resets_in(left),
        };
        [
            rates
                .requests_per_minute
                .map(|limit| window(Kind::RequestsPerMinute, requests, limit)),
            rates
                .tokens_per_minute
                .map(|limit| window(Kind::TokensPerMinute, tokens, limit)),
            rates.tokens_per_day.map(day),
        ]
        .into_iter()
        .flatten()
    }

    /// Advances to the minute and the day of `now`.
    fn roll(&mut self, now: u64) {
        let (minute, day) = (now / MINUTE, now / DAY);
        if minute.checked_sub(1) == Some(self.minute) {
            self.requests.next();
            self.tokens.next();
        } else if minute != self.minute && minute.checked_add(1) != Some(self.minute) {
            self.requests = Window::default();
            self.tokens = Window::default();
        }
        // After a clock is set back by less than a minute, the later minute stays.
        if minute.checked_add(1) != Some(self.minute) {
            self.minute = minute;
        }
        if day != self.day {
            self.day = day;
            self.tokens_of_day = 0;
        }
    }
}

impl Window {
    fn next(&mut self) {
        self.previous = self.current;
        self.current = 0;
    }

    /// The usage when `left` milliseconds of the minute remain.
    fn used(self, left: u64) -> u64 {
        let still = self.previous.saturating_mul(left) / MINUTE;
        still.saturating_add(self.current)
    }

    /// Milliseconds until the usage is below `limit`.
    fn frees_in(self, limit: u64, left: u64) -> u64 {
        if self.used(left) < limit {
            return 0;
        }
        // The remaining part of a minute at which `count` weighs less than `below`.
        let most = |count: u64, below: u64| {
            let weight = below.saturating_mul(MINUTE).saturating_sub(1);
            weight.checked_div(count).unwrap_or(MINUTE).min(MINUTE)
        };
        if self.current < limit {
            let room = limit.saturating_sub(self.current);
            left.saturating_sub(most(self.previous, room))
        } else {
            // Not before the next minute, in which this one is the previous one.
            left.saturating_add(MINUTE.saturating_sub(most(self.current, limit)))
        }
    }

    fn resets_in(self, left: u64) -> u64 {
        match (self.current, self.previous) {
            (0, 0) => 0,
            (0, _) => left,
            _ => left.saturating_add(MINUTE),
        }
    }
}

/// Milliseconds until the end of the minute of a time.
fn left_of_minute(now: u64) -> u64 {
    MINUTE.saturating_sub(now % MINUTE)
}

/// The minute of a time, counted from 1970.
pub(super) fn minute(time: u64) -> u64 {
    time / MINUTE
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The beginning of a minute and of a day.
    const START: u64 = 20_000 * DAY;

    fn at(millis: u64) -> u64 {
        START + millis
    }

    fn rates(yaml: &str) -> Rates {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn one(counts: &mut Counts, yaml: &str, now: u64) -> Usage {
        counts.usage(&rates(yaml), now).next().unwrap()
    }

    #[test]
    fn previous_minute_is_weighted_by_its_part_of_the_last_60_seconds() {
        let mut counts = Counts::default();
        for _ in 0..10 {
            counts.add_request(at(59_999));
        }
        let mut used = |millis| one(&mut counts, "requestsPerMinute: 10", at(millis)).used;
        assert_eq!(used(59_999), 10);
        assert_eq!(used(60_000), 10);
        assert_eq!(used(66_000), 9);
        assert_eq!(used(90_000), 5);
        assert_eq!(used(119_999), 0);
        assert_eq!(used(120_000), 0);
    }

    #[test]
    fn day_ends_at_midnight_utc() {
        let mut counts = Counts::default();
        counts.add_tokens(70, at(1_000));
        counts.add_tokens(50, at(DAY - 500));
        let full = one(&mut counts, "tokensPerDay: 100", at(DAY - 500));
        assert!(full.is_full());
        assert_eq!(full.used, 120);
        assert_eq!(full.frees_in, 500);
        let free = one(&mut counts, "tokensPerDay: 100", at(DAY));
        assert_eq!((free.used, free.frees_in), (0, 0));
    }

    #[test]
    fn long_pause_resets_the_counts_and_a_small_clock_change_keeps_them() {
        let mut counts = Counts::default();
        counts.add_request(at(0));
        assert_eq!(
            one(&mut counts, "requestsPerMinute: 5", at(180_000)).used,
            0
        );
        counts.add_request(at(180_000));
        assert_eq!(
            one(&mut counts, "requestsPerMinute: 5", at(179_990)).used,
            1
        );
        // Set back by an hour: the counts restart.
        counts.add_request(at(60 * MINUTE));
        assert_eq!(one(&mut counts, "requestsPerMinute: 5", at(0)).used, 0);
    }

    #[test]
    fn each_limit_has_its_own_usage() {
        let mut counts = Counts::default();
        counts.add_request(at(0));
        counts.add_tokens(30, at(0));
        let all = rates(
            "{requestsPerMinute: 2, tokensPerMinute: 20, tokensPerDay: 100, concurrentRequests: 1}",
        );
        let found: Vec<_> = counts
            .usage(&all, at(0))
            .map(|usage| (usage.kind, usage.used, usage.is_full()))
            .collect();
        assert_eq!(
            found,
            [
                (Kind::RequestsPerMinute, 1, false),
                (Kind::TokensPerMinute, 30, true),
                (Kind::TokensPerDay, 30, false),
            ]
        );
        assert_eq!(counts.usage(&Rates::default(), at(0)).count(), 0);
    }

    proptest! {
        /// `frees_in` is the first time below the limit, and at `resets_in` the usage is zero.
        #[test]
        fn limit_frees_at_the_announced_time_and_not_before(
            previous in 0_u64..2_000,
            current in 0_u64..2_000,
            limit in 1_u64..500,
            within in 0_u64..MINUTE,
        ) {
            let mut counts = Counts::default();
            counts.add_tokens(previous, at(0));
            counts.add_tokens(current, at(MINUTE));
            let rates = Rates { tokens_per_minute: Some(limit), ..Rates::default() };
            let mut usage = |millis| counts.usage(&rates, at(millis)).next().unwrap();
            let now = MINUTE + within;
            let said = usage(now);
            let then = now + said.frees_in;
            prop_assert_eq!(said.is_full(), then > now);
            if said.is_full() {
                // In time order: counts only move on.
                prop_assert!(usage(then - 1).is_full());
            }
            prop_assert!(!usage(then).is_full());
            let end = now + said.resets_in;
            prop_assert_eq!(usage(end.max(then)).used, 0);
        }

        #[test]
        fn never_overflows(
            tokens in any::<u64>(), limit in 1_u64.., millis in any::<u32>(),
        ) {
            let mut counts = Counts::default();
            counts.add_tokens(tokens, at(0));
            counts.add_tokens(tokens, at(u64::from(millis)));
            let rates = Rates {
                tokens_per_minute: Some(limit),
                tokens_per_day: Some(limit),
                ..Rates::default()
            };
            for usage in counts.usage(&rates, at(u64::from(millis))) {
                prop_assert!(usage.frees_in <= DAY);
            }
        }
    }
}
