//! What was asked for so far, and what that says to a limit. Pure: the time is an argument.
//!
//! A window of a minute slides: what the minute before counted weighs as much as of it still lies within the last
//! 60 seconds, so that nobody gets twice the limit around the full minute. Two numbers a limit are all that is
//! kept, and they can be shared between gateways. A day is one of UTC.

use std::time::{Duration, SystemTime};

use api::config::Rates;

const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;

/// Which limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    RequestsPerMinute,
    TokensPerMinute,
    TokensPerDay,
    ConcurrentRequests,
}

/// Counts of an access or of a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// The minute that the windows are in, counted from 1970.
    minute: u64,
    requests: Window,
    tokens: Window,
    /// The day that its tokens are of, counted from 1970.
    day: u64,
    tokens_of_day: u64,
}

/// Counts of a minute and of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Window {
    current: u64,
    previous: u64,
}

/// How a limit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) kind: Kind,
    pub(crate) limit: u64,
    pub(crate) used: u64,
    /// How long until there is room, if nothing more comes; zero where there is.
    pub(crate) frees_in: Duration,
    /// How long until nothing is used, if nothing more comes.
    pub(crate) resets_in: Duration,
}

impl Kind {
    /// The field of the configuration, and of the access.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requestsPerMinute",
            Self::TokensPerMinute => "tokensPerMinute",
            Self::TokensPerDay => "tokensPerDay",
            Self::ConcurrentRequests => "concurrentRequests",
        }
    }

    /// What is counted, after its number.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::RequestsPerMinute => "requests per minute",
            Self::TokensPerMinute => "tokens per minute",
            Self::TokensPerDay => "tokens per day (UTC)",
            Self::ConcurrentRequests => "requests at once",
        }
    }

    /// Whether tokens are counted, not requests.
    pub(crate) fn is_of_tokens(self) -> bool {
        matches!(self, Self::TokensPerMinute | Self::TokensPerDay)
    }
}

impl Standing {
    /// Whether nothing more is taken.
    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.limit
    }

    pub(crate) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

impl Counts {
    /// Counts that were kept elsewhere, as they were then: requests of the minute and of the one before, tokens
    /// likewise, tokens of the day.
    pub(super) fn shared(at: SystemTime, numbers: &[u64; 5]) -> Self {
        let now = millis(at);
        let [
            requests,
            requests_before,
            tokens,
            tokens_before,
            tokens_of_day,
        ] = *numbers;
        Self {
            minute: now / MINUTE,
            requests: Window {
                current: requests,
                previous: requests_before,
            },
            tokens: Window {
                current: tokens,
                previous: tokens_before,
            },
            day: now / DAY,
            tokens_of_day,
        }
    }

    /// One more request.
    pub(crate) fn add_request(&mut self, now: SystemTime) {
        self.roll(now);
        self.requests.current = self.requests.current.saturating_add(1);
    }

    /// Tokens of a request that is over.
    pub(crate) fn add_tokens(&mut self, tokens: u64, now: SystemTime) {
        self.roll(now);
        self.tokens.current = self.tokens.current.saturating_add(tokens);
        self.tokens_of_day = self.tokens_of_day.saturating_add(tokens);
    }

    /// How each limit of these stands now.
    pub(crate) fn standings(
        &mut self,
        rates: &Rates,
        now: SystemTime,
    ) -> impl Iterator<Item = Standing> + use<> {
        self.roll(now);
        let now = millis(now);
        let left = MINUTE.saturating_sub(now % MINUTE);
        let of_day = DAY.saturating_sub(now % DAY);
        let Self {
            requests,
            tokens,
            tokens_of_day,
            ..
        } = *self;
        let day = |limit| Standing {
            kind: Kind::TokensPerDay,
            limit,
            used: tokens_of_day,
            frees_in: after(if tokens_of_day < limit { 0 } else { of_day }),
            resets_in: after(if tokens_of_day == 0 { 0 } else { of_day }),
        };
        let window = |kind, window: Window, limit| Standing {
            kind,
            limit,
            used: window.used(left),
            frees_in: after(window.frees_in(limit, left)),
            resets_in: after(window.resets_in(left)),
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

    /// Moves on to the minute and the day of `now`.
    fn roll(&mut self, now: SystemTime) {
        let now = millis(now);
        let (minute, day) = (now / MINUTE, now / DAY);
        if minute.checked_sub(1) == Some(self.minute) {
            self.requests.next();
            self.tokens.next();
        } else if minute != self.minute && minute.checked_add(1) != Some(self.minute) {
            self.requests = Window::default();
            self.tokens = Window::default();
        }
        // A clock that was put back a little stays in the minute it had come to.
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

    /// What counts when `left` milliseconds of the minute are still to come.
    fn used(self, left: u64) -> u64 {
        let still = self.previous.saturating_mul(left) / MINUTE;
        still.saturating_add(self.current)
    }

    /// Milliseconds until less than `limit` count.
    fn frees_in(self, limit: u64, left: u64) -> u64 {
        if self.used(left) < limit {
            return 0;
        }
        // What may be left of a minute for `count` of it to weigh less than `below`.
        let most = |count: u64, below: u64| {
            let weight = below.saturating_mul(MINUTE).saturating_sub(1);
            weight.checked_div(count).unwrap_or(MINUTE).min(MINUTE)
        };
        if self.current < limit {
            let room = limit.saturating_sub(self.current);
            left.saturating_sub(most(self.previous, room))
        } else {
            // Only in the next minute, in which this one is the one before.
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

fn after(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Milliseconds since 1970.
fn millis(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The beginning of a minute and of a day.
    const START: u64 = 20_000 * DAY;

    fn at(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + after(START + millis)
    }

    fn rates(yaml: &str) -> Rates {
        serde_yaml::from_str(yaml).unwrap()
    }

    fn one(counts: &mut Counts, yaml: &str, now: SystemTime) -> Standing {
        counts.standings(&rates(yaml), now).next().unwrap()
    }

    #[test]
    fn minute_before_weighs_as_much_as_of_it_is_within_the_last_60_seconds() {
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
        assert_eq!(full.frees_in, Duration::from_millis(500));
        let free = one(&mut counts, "tokensPerDay: 100", at(DAY));
        assert_eq!((free.used, free.frees_in), (0, Duration::ZERO));
    }

    #[test]
    fn long_pause_leaves_nothing_and_a_clock_put_back_a_little_loses_nothing() {
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
        // Put right by an hour: it does not count for an hour on.
        counts.add_request(at(60 * MINUTE));
        assert_eq!(one(&mut counts, "requestsPerMinute: 5", at(0)).used, 0);
    }

    #[test]
    fn each_limit_that_is_set_stands_by_itself() {
        let mut counts = Counts::default();
        counts.add_request(at(0));
        counts.add_tokens(30, at(0));
        let all = rates(
            "{requestsPerMinute: 2, tokensPerMinute: 20, tokensPerDay: 100, concurrentRequests: 1}",
        );
        let found: Vec<_> = counts
            .standings(&all, at(0))
            .map(|standing| (standing.kind, standing.used, standing.is_full()))
            .collect();
        assert_eq!(
            found,
            [
                (Kind::RequestsPerMinute, 1, false),
                (Kind::TokensPerMinute, 30, true),
                (Kind::TokensPerDay, 30, false),
            ]
        );
        assert_eq!(counts.standings(&Rates::default(), at(0)).count(), 0);
    }

    proptest! {
        /// `frees_in` is the first moment with room, and `resets_in` one with nothing used.
        #[test]
        fn room_is_there_when_it_was_said_and_not_before(
            previous in 0_u64..2_000,
            current in 0_u64..2_000,
            limit in 1_u64..500,
            within in 0_u64..MINUTE,
        ) {
            let mut counts = Counts::default();
            counts.add_tokens(previous, at(0));
            counts.add_tokens(current, at(MINUTE));
            let rates = Rates { tokens_per_minute: Some(limit), ..Rates::default() };
            let mut standing = |millis| counts.standings(&rates, at(millis)).next().unwrap();
            let now = MINUTE + within;
            let said = standing(now);
            let then = now + u64::try_from(said.frees_in.as_millis()).unwrap();
            prop_assert_eq!(said.is_full(), then > now);
            if said.is_full() {
                // In time order: counts only move on.
                prop_assert!(standing(then - 1).is_full());
            }
            prop_assert!(!standing(then).is_full());
            let end = now + u64::try_from(said.resets_in.as_millis()).unwrap();
            prop_assert_eq!(standing(end.max(then)).used, 0);
        }

        #[test]
        fn whatever_comes_there_is_no_overflow(
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
            for standing in counts.standings(&rates, at(u64::from(millis))) {
                prop_assert!(standing.frees_in <= after(DAY));
            }
        }
    }
}
