//! Slows clients that fail authentication, by the address they come from.
//!
//! Each address may fail a number of times; after that, its rejections are delayed. Valid credentials are never delayed,
//! also from the same address, since many clients can share one (NAT, an ingress). Guessing is slowed to one attempt a
//! second and connection. This does not replace keys that cannot be guessed: a client can open many connections.
//!
//! nginx delays rejections in the same way (`auth_delay`); OpenSSH also counts by network (`PerSourcePenalties`).

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep},
};

/// Failures of an address before its rejections are delayed.
const BURST: u32 = 30;
/// Time after which an address may fail once more without a delay.
const REFILL: Duration = Duration::from_secs(1);
/// Delay of a rejection.
const DELAY: Duration = Duration::from_secs(1);
/// Rejections that are delayed at the same time; each keeps the headers of its request.
const MAX_DELAYED: usize = 1024;
/// Addresses that are counted separately; all others are counted together.
const MAX_SOURCES: usize = 4096;

/// The failed authentications of all addresses.
#[derive(Debug)]
pub(super) struct Failures {
    /// The time at which all failures of a source are forgotten.
    sources: Mutex<HashMap<Source, Instant>>,
    delayed: Arc<Semaphore>,
}

/// Addresses that count together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Source {
    /// An IPv4 address, or the first 64 bits of an IPv6 address, which are one network.
    Network(u128),
    /// All that are not counted separately.
    Others,
}

/// What happens to a rejection.
#[derive(Debug)]
pub(super) enum Penalty {
    /// It is sent at once.
    None,
    /// It is sent after [`Delay::wait`].
    Delay(Delay),
    /// It is sent at once, and the connection is closed, since too many rejections are delayed.
    Close,
}

/// A rejection that is delayed.
#[derive(Debug)]
pub(super) struct Delay(OwnedSemaphorePermit);

impl Delay {
    pub(super) async fn wait(self) {
        sleep(DELAY).await;
        drop(self.0);
    }
}

impl Failures {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            sources: Mutex::default(),
            delayed: Arc::new(Semaphore::new(MAX_DELAYED)),
        })
    }

    /// Counts a failure.
    pub(super) fn count(&self, address: IpAddr) -> Penalty {
        if !self.exceeds(Source::new(address), Instant::now()) {
            return Penalty::None;
        }
        match Arc::clone(&self.delayed).try_acquire_owned() {
            Ok(permit) => Penalty::Delay(Delay(permit)),
            Err(_) => Penalty::Close,
        }
    }

    /// Whether a source has failed too often.
    fn exceeds(&self, source: Source, now: Instant) -> bool {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if sources.len() >= MAX_SOURCES && !sources.contains_key(&source) {
            sources.retain(|_, until| *until > now);
        }
        let source = if sources.len() < MAX_SOURCES || sources.contains_key(&source) {
            source
        } else {
            Source::Others
        };
        let until = sources.entry(source).or_insert(now);
        let after_this = (*until).max(now) + REFILL;
        let exceeds = after_this > now + REFILL * BURST;
        if !exceeds {
            *until = after_this;
        }
        exceeds
    }
}

impl Source {
    fn new(address: IpAddr) -> Self {
        Self::Network(match address.to_canonical() {
            // In the form of a mapped address, which no network of IPv6 begins with.
            IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
            IpAddr::V6(address) => address.to_bits() >> 64 << 64,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// The number of immediate rejections among `times`.
    fn immediate(failures: &Failures, from: IpAddr, times: u32) -> usize {
        (0..times)
            .filter(|_| matches!(failures.count(from), Penalty::None))
            .count()
    }

    #[tokio::test(start_paused = true)]
    async fn rejections_beyond_the_burst_are_delayed_until_failures_are_forgotten() {
        let failures = Failures::new();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        assert_eq!(immediate(&failures, one, 100), 30);
        assert_eq!(immediate(&failures, other, 1), 1);
        let Penalty::Delay(delay) = failures.count(one) else {
            panic!("not delayed");
        };
        let started = Instant::now();
        delay.wait().await;
        assert_eq!(started.elapsed(), DELAY);
        assert_eq!(immediate(&failures, one, 100), 1, "one was forgotten");
        tokio::time::advance(REFILL * BURST).await;
        assert_eq!(immediate(&failures, one, 100), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn networks_of_ipv6_and_mapped_addresses_count_together() {
        let failures = Failures::new();
        assert_eq!(immediate(&failures, address("2001:db8::1"), 30), 30);
        assert_eq!(immediate(&failures, address("2001:db8::ffff:2"), 1), 0);
        assert_eq!(immediate(&failures, address("2001:db8:0:1::1"), 1), 1);
        assert_eq!(immediate(&failures, address("192.0.2.1"), 30), 30);
        assert_eq!(immediate(&failures, address("::ffff:192.0.2.1"), 1), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_and_delayed_rejections_are_bounded() {
        let failures = Failures::new();
        for number in 0..10_000 {
            let address = IpAddr::V6(Ipv6Addr::from_bits(number << 64));
            drop(failures.count(address));
        }
        assert_eq!(failures.sources.lock().unwrap().len(), MAX_SOURCES + 1);
        tokio::time::advance(REFILL * BURST).await;
        let last = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert_eq!(immediate(&failures, last, 30), 30);
        assert_eq!(failures.sources.lock().unwrap().len(), 1);
        let delayed: Vec<Penalty> = (0..=MAX_DELAYED).map(|_| failures.count(last)).collect();
        assert!(matches!(delayed.last(), Some(Penalty::Close)));
        drop(delayed);
        assert!(matches!(failures.count(last), Penalty::Delay(_)));
    }
}
