//! What the store has reported of a subject, and what this gateway has counted since. Pure: the time is an argument.
//!
//! The store counts requests before they arrive: a gateway with many requests gets a few in advance, and returns those that do
//! not arrive. Most requests of a busy gateway therefore need no call. Tokens of other gateways are known with a delay of
//! [`FRESH`].

use std::time::Duration;

use api::config::Rates;
use tokio::time::Instant;

use super::counts::{Counts, Usage, minute};
use crate::pipeline::shared_store::recent::Recent;

/// Time for which the counts of the store apply.
const FRESH: Duration = Duration::from_millis(20);

/// Counts of a subject.
#[derive(Debug)]
pub(super) struct SharedCounts {
    /// As the store has reported, at its time in milliseconds since 1970.
    counts: Counts,
    at: u64,
    /// When the store was asked; none before.
    asked: Option<Instant>,
    /// Requests that the store has counted and that have not arrived.
    advance: u64,
    /// Tokens that the store does not have, and that are on their way to it.
    tokens: u64,
    sent_tokens: u64,
    /// Requests that wait for the store.
    waiting: u64,
    recent: Recent,
    is_queued: bool,
}

/// What a gateway asks of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) tokens: u64,
    /// Requests in advance that did not arrive, and the minute in which they were counted.
    pub(super) returned: u64,
    pub(super) minute: u64,
    /// Requests that wait and are not counted yet, and requests that are expected.
    pub(super) waiting: u64,
    pub(super) spare: u64,
}

/// The response of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) at: u64,
    /// Requests that it has counted for this gateway.
    pub(super) granted: u64,
    pub(super) counts: Counts,
}

/// What the counts say about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed,
    Full,
    /// A call of the store is needed.
    Unknown,
}

impl Default for SharedCounts {
    fn default() -> Self {
        Self {
            counts: Counts::default(),
            at: 0,
            asked: None,
            advance: 0,
            tokens: 0,
            sent_tokens: 0,
            waiting: 0,
            recent: Recent::NONE,
            is_queued: false,
        }
    }
}

impl SharedCounts {
    /// The store's time of the counts.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// The usage of each limit.
    pub(super) fn usage(&self, rates: &Rates) -> impl Iterator<Item = Usage> + use<> {
        self.all().usage(rates, self.at)
    }

    /// The counts, with what the store does not have yet.
    fn all(&self) -> Counts {
        let mut counts = self.counts.without_requests(self.advance);
        counts.add_tokens(self.tokens.saturating_add(self.sent_tokens), self.at);
        counts
    }

    /// Whether a request is allowed. `now`: none directly after a response of the store.
    pub(super) fn decision(&self, rates: &Rates, now: Option<Instant>) -> Decision {
        let is_fresh = now.is_none_or(|now| {
            self.asked
                .is_some_and(|asked| now.duration_since(asked) < FRESH)
        });
        if !is_fresh {
            Decision::Unknown
        } else if self.all().is_full(rates, self.at) {
            Decision::Full
        } else if rates.requests_per_minute.is_some() && self.advance == 0 {
            Decision::Unknown
        } else {
            Decision::Allowed
        }
    }

    /// Counts an allowed request.
    pub(super) fn take(&mut self, now: Instant) {
        self.advance = self.advance.saturating_sub(1);
        self.recent.add(1, now);
    }

    /// Adds a request that waits for the store, possibly because of another subject. Returns whether the
    /// subject must be queued for the store.
    pub(super) fn wait(&mut self) -> bool {
        self.waiting = self.waiting.saturating_add(1);
        self.queue()
    }

    /// Adds the tokens of a finished request. Returns whether the subject must be queued for the store.
    pub(super) fn add_tokens(&mut self, tokens: u64) -> bool {
        self.tokens = self.tokens.saturating_add(tokens);
        self.queue()
    }

    fn queue(&mut self) -> bool {
        !std::mem::replace(&mut self.is_queued, true)
    }

    /// The store was removed; the subject can be queued for another one.
    pub(super) fn left_queue(&mut self) {
        self.is_queued = false;
    }

    /// What to ask of the store; none if there is nothing.
    pub(super) fn ask(&mut self, rates: &Rates, now: Instant) -> Option<Ask> {
        self.is_queued = false;
        if self.tokens == 0 && self.waiting == 0 && self.advance == 0 {
            return None;
        }
        let mut usage = self.usage(rates);
        let left = usage.next().map_or(0, |usage| usage.remaining());
        let spare = match rates.requests_per_minute {
            Some(_) => self.recent.spare(left, now),
            None => 0,
        };
        let waiting = std::mem::take(&mut self.waiting);
        let kept = self.advance.min(waiting.saturating_add(spare));
        let returned = self.advance.saturating_sub(kept);
        self.advance = kept;
        self.counts = self.counts.without_requests(returned);
        self.sent_tokens = std::mem::take(&mut self.tokens);
        Some(Ask {
            tokens: self.sent_tokens,
            returned,
            minute: minute(self.at),
            waiting: waiting.saturating_sub(kept),
            spare: spare.saturating_sub(kept.saturating_sub(waiting)),
        })
    }

    /// Adopts the response to what was asked; none if the store is unavailable: the counts of this gateway have what is lost.
    /// Returns whether the subject must be queued again.
    pub(super) fn adopt(&mut self, asked: Instant, counted: Option<Counted>) -> bool {
        self.sent_tokens = 0;
        let Some(counted) = counted else {
            return false;
        };
        if minute(self.at) != minute(counted.at) {
            // They stay counted in their minute.
            self.advance = 0;
        }
        self.counts = counted.counts;
        self.at = counted.at;
        self.asked = Some(asked);
        self.advance = self.advance.saturating_add(counted.granted);
        let is_waiting = self.tokens > 0 || self.waiting > 0 || self.advance > 0;
        is_waiting && self.queue()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates(yaml: &str) -> Rates {
        serde_yaml::from_str(yaml).unwrap()
    }

    /// The middle of a minute.
    fn at() -> u64 {
        (60 * 30_000_000 + 30) * 1000
    }

    fn counted(granted: u64, requests: u64, tokens: u64) -> Counted {
        Counted {
            at: at(),
            granted,
            counts: Counts::shared(at(), &[requests, 0, tokens, 0, tokens]),
        }
    }

    #[test]
    fn a_busy_gateway_gets_requests_in_advance_and_returns_what_does_not_arrive() {
        let rates = rates("requestsPerMinute: 100000");
        let now = Instant::now();
        let mut counts = SharedCounts::default();
        assert_eq!(counts.decision(&rates, Some(now)), Decision::Unknown);
        for _ in 0..50 {
            counts.wait();
        }
        let first = counts.ask(&rates, now).unwrap();
        assert_eq!((first.waiting, first.spare), (50, 0));
        counts.adopt(now, Some(counted(50, 50, 0)));
        for _ in 0..50 {
            assert_eq!(counts.decision(&rates, Some(now)), Decision::Allowed);
            counts.take(now);
        }
        assert_eq!(counts.decision(&rates, Some(now)), Decision::Unknown);
        counts.add_tokens(1);
        let second = counts.ask(&rates, now).unwrap();
        assert_eq!((second.waiting, second.spare), (0, 50));
        assert!(counts.adopt(now, Some(counted(50, 100, 1))));
        counts.take(now);
        counts.take(now);
        let used = counts.usage(&rates).next().unwrap().used;
        assert_eq!(used, 52, "requests in advance are not used");
        let now = now + Duration::from_millis(24);
        let third = counts.ask(&rates, now).unwrap();
        assert_eq!((third.returned, third.spare), (48, 0));
        assert_eq!(third.minute, minute(at()));
        counts.adopt(now, Some(counted(0, 52, 1)));
        assert_eq!(counts.ask(&rates, now), None);
    }

    #[test]
    fn old_counts_do_not_decide() {
        let rates = rates("tokensPerMinute: 100");
        let now = Instant::now();
        let mut counts = SharedCounts::default();
        counts.wait();
        counts.ask(&rates, now).unwrap();
        counts.adopt(now, Some(counted(0, 0, 90)));
        assert_eq!(counts.decision(&rates, Some(now)), Decision::Allowed);
        let later = now + FRESH;
        assert_eq!(counts.decision(&rates, Some(later)), Decision::Unknown);
        counts.add_tokens(10);
        assert_eq!(counts.decision(&rates, Some(now)), Decision::Full);
        counts.ask(&rates, now).unwrap();
        // On their way.
        assert_eq!(counts.decision(&rates, Some(now)), Decision::Full);
        counts.adopt(now, None);
        assert_eq!(counts.decision(&rates, Some(now)), Decision::Allowed);
    }

    #[test]
    fn requests_in_advance_end_with_their_minute() {
        let rates = rates("requestsPerMinute: 100000");
        let now = Instant::now();
        let mut counts = SharedCounts::default();
        counts.wait();
        counts.ask(&rates, now);
        counts.adopt(now, Some(counted(30, 30, 0)));
        counts.take(now);
        counts.take(now);
        counts.ask(&rates, now).unwrap();
        let next = Counted {
            at: at() + 60_000,
            ..counted(0, 0, 0)
        };
        counts.adopt(now, Some(next));
        assert_eq!(counts.decision(&rates, None), Decision::Unknown);
        assert_eq!(counts.advance, 0);
    }
}
