//! The budget of an HTTP/2 connection for frames that carry no request: PING, SETTINGS, CONTINUATION, WINDOW_UPDATE and so on.
//!
//! They cost a client little and the gateway a frame of processing each, often with a response. A connection has a number of
//! such bytes; requests and responses earn more, and time does. Without a budget left, the gateway reads nothing
//! from the connection for a while. nginx compares the same two sums, and closes the connection.
//! <https://datatracker.ietf.org/doc/html/rfc9113#section-10.5>

#![deny(clippy::arithmetic_side_effects)]

use std::time::Duration;

use tokio::time::Instant;

/// The budget in units of half a byte; a connection begins with it: about 3,800 PING frames.
const CAPACITY: i64 = 64 * 1024 * SPENT;
/// Units that time earns in each millisecond: 240 PING frames in a second.
const REFILL_A_MILLISECOND: i64 = 4 * SPENT;
/// Units that a byte without a request spends.
const SPENT: i64 = 2;
/// Units that a byte of a request or response earns. A client may send two WINDOW_UPDATE frames, 26 bytes, for each event of
/// a stream.
const EARNED: i64 = 1;
/// Length of a frame's header: length, type, flags, stream.
/// <https://datatracker.ietf.org/doc/html/rfc9113#section-4.1>
const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;

/// The budget, and where the next frame begins.
#[derive(Debug)]
pub(super) struct Overhead {
    /// Units left. Below zero, nothing is read until they are earned.
    balance: i64,
    refilled: Instant,
    header: [u8; HEADER],
    /// Bytes of the header that have arrived.
    known: usize,
    /// Bytes of the payload that have not arrived.
    payload: usize,
}

impl Overhead {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            balance: CAPACITY,
            refilled: now,
            header: [0; HEADER],
            known: 0,
            payload: 0,
        }
    }

    /// Counts bytes that were read.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.known < HEADER {
                bytes = self.read_header(bytes);
                continue;
            }
            let length = self.payload.min(bytes.len());
            bytes = bytes.split_at(length).1;
            self.payload = self.payload.saturating_sub(length);
            if matches!(self.header, [_, _, _, DATA | HEADERS, ..]) {
                self.written(length);
            } else {
                self.spend(length);
            }
            if self.payload == 0 {
                self.known = 0;
            }
        }
    }

    fn read_header<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let wanted = self.header.get_mut(self.known..).unwrap_or_default();
        let (part, rest) = bytes.split_at(wanted.len().min(bytes.len()));
        for (to, from) in wanted.iter_mut().zip(part) {
            *to = *from;
        }
        self.known = self.known.saturating_add(part.len());
        if self.known == HEADER {
            let [high, middle, low, ..] = self.header;
            let payload = u32::from_be_bytes([0, high, middle, low]);
            self.payload = usize::try_from(payload).unwrap_or(usize::MAX);
            self.spend(HEADER);
            if self.payload == 0 {
                self.known = 0;
            }
        }
        rest
    }

    /// Counts bytes that were written, or the content of a request.
    pub(super) fn written(&mut self, bytes: usize) {
        self.earn(EARNED.saturating_mul(count(bytes)));
    }

    fn earn(&mut self, units: i64) {
        self.balance = self.balance.saturating_add(units).min(CAPACITY);
    }

    fn spend(&mut self, bytes: usize) {
        let units = SPENT.saturating_mul(count(bytes));
        self.balance = self.balance.saturating_sub(units);
    }

    /// The time until which nothing may be read; none if the budget is not used up.
    pub(super) fn pause(&mut self, now: Instant) -> Option<Instant> {
        if self.balance >= 0 {
            return None;
        }
        let since = now.saturating_duration_since(self.refilled).as_millis();
        let since = i64::try_from(since).unwrap_or(i64::MAX);
        self.refilled = now;
        self.earn(since.saturating_mul(REFILL_A_MILLISECOND));
        let wait = self.balance.min(0).unsigned_abs();
        let wait = wait.div_ceil(REFILL_A_MILLISECOND.unsigned_abs());
        (wait > 0)
            .then(|| now.checked_add(Duration::from_millis(wait)))
            .flatten()
    }
}

fn count(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PING: u8 = 6;
    const CONTINUATION: u8 = 9;

    #[expect(clippy::arithmetic_side_effects, reason = "small numbers of a test")]
    fn frame(kind: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut frame = length.get(1..).unwrap().to_vec();
        frame.extend([kind, 0, 0, 0, 0, 0]);
        frame.resize(HEADER + payload, 0);
        frame
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_pings_pauses_the_connection_and_time_continues_it() {
        let mut overhead = Overhead::new(Instant::now());
        let pings = frame(PING, 8).repeat(3_855);
        overhead.read(&pings);
        assert_eq!(overhead.pause(Instant::now()), None);
        overhead.read(&frame(PING, 8).repeat(1000));
        let until = overhead.pause(Instant::now()).unwrap();
        let wait = until - Instant::now();
        assert!((3..5).contains(&wait.as_secs()), "{wait:?}");
        tokio::time::advance(wait).await;
        assert_eq!(overhead.pause(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn hours_of_keep_alive_pings_are_free() {
        let mut overhead = Overhead::new(Instant::now());
        for _ in 0..100_000 {
            overhead.read(&frame(PING, 8));
            overhead.written(17);
            tokio::time::advance(Duration::from_secs(1)).await;
            assert_eq!(overhead.pause(Instant::now()), None);
        }
    }

    #[test]
    fn requests_and_responses_pay_for_their_frames() {
        let now = Instant::now();
        let mut overhead = Overhead::new(now);
        for _ in 0..100_000 {
            overhead.read(&frame(HEADERS, 60));
            overhead.read(&frame(DATA, 200));
            // An event, and window updates for the stream and the connection.
            overhead.written(60);
            overhead.read(&frame(8, 4));
            overhead.read(&frame(8, 4));
            assert_eq!(overhead.pause(now), None);
        }
        overhead.read(&frame(DATA, 1).repeat(100_000));
        assert!(overhead.pause(now).is_some(), "a byte a frame");
        let mut overhead = Overhead::new(now);
        overhead.read(&frame(CONTINUATION, 16_000).repeat(5));
        assert!(overhead.pause(now).is_some(), "endless headers");
    }

    proptest! {
        #[test]
        fn any_split_of_the_bytes_counts_the_same(
            frames in prop::collection::vec((0_u8..10, 0_usize..300), 1..200),
            splits in prop::collection::vec(1_usize..50, 1..50),
        ) {
            let now = Instant::now();
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, payload)| frame(*kind, *payload)).collect();
            let mut whole = Overhead::new(now);
            let mut parts = Overhead::new(now);
            whole.read(&bytes);
            let mut rest = bytes.as_slice();
            for split in splits.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (part, after) = rest.split_at((*split).min(rest.len()));
                parts.read(part);
                rest = after;
            }
            prop_assert_eq!((whole.known, whole.payload), (0, 0));
            prop_assert_eq!((parts.known, parts.payload), (0, 0));
            prop_assert_eq!(parts.balance, whole.balance);
        }
    }
}
