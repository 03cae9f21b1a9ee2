//! AWS's time: the given clock plus the correction learned from `Date` headers.
//!
//! SigV4 rejects requests whose clock is off by more than five minutes, and expirations are in AWS's time
//! (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html>).

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime},
};

use aws_smithy_types::date_time::{DateTime, Format};
use aws_types::sdk_config::{SharedTimeSource, TimeSource};
use tokio::sync::watch;

/// Largest difference that is attributed to latency and to the header's resolution of one second, not to the clock.
const TOLERANCE_MILLIS: i64 = 15_000;

/// A clock that can be corrected while it is in use; clones share the correction.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    source: SharedTimeSource,
    skew_millis: Arc<AtomicI64>,
    /// Notifies the refresher that its schedule was computed with a wrong time.
    corrections: watch::Sender<()>,
}

impl Clock {
    pub(crate) fn new(source: SharedTimeSource) -> Self {
        Self {
            source,
            skew_millis: Arc::new(AtomicI64::new(0)),
            corrections: watch::Sender::new(()),
        }
    }

    pub(crate) fn now(&self) -> SystemTime {
        let now = self.source.now();
        match self.skew_millis.load(Ordering::Relaxed) {
            0 => now,
            skew => shift(now, skew),
        }
    }

    /// Receives a notification for each correction.
    pub(crate) fn corrections(&self) -> watch::Receiver<()> {
        self.corrections.subscribe()
    }

    /// The correction that is added to the local clock, in milliseconds.
    pub(crate) fn skew_millis(&self) -> i64 {
        self.skew_millis.load(Ordering::Relaxed)
    }

    /// Updates the correction from a `Date` header; text that is not an HTTP date is ignored. Returns whether the
    /// correction changed.
    pub(crate) fn observe_server_date(&self, date: &str) -> bool {
        let Some(server) = DateTime::from_str(date.trim(), Format::HttpDate)
            .ok()
            .and_then(|date| SystemTime::try_from(date).ok())
        else {
            return false;
        };
        let local = self.source.now();
        let skew = match server.duration_since(local) {
            Ok(ahead) => millis(ahead),
            Err(behind) => -millis(behind.duration()),
        };
        let known = self.skew_millis();
        if skew.saturating_sub(known).abs() <= TOLERANCE_MILLIS {
            return false;
        }
        let corrected = if skew.abs() <= TOLERANCE_MILLIS {
            0
        } else {
            skew
        };
        self.skew_millis.store(corrected, Ordering::Relaxed);
        self.corrections.send_replace(());
        tracing::warn!(
            skew_seconds = corrected / 1000,
            "the local clock differs from AWS's; signing with the corrected time"
        );
        true
    }
}

impl TimeSource for Clock {
    fn now(&self) -> SystemTime {
        Self::now(self)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

fn shift(time: SystemTime, by_millis: i64) -> SystemTime {
    let distance = Duration::from_millis(by_millis.unsigned_abs());
    let shifted = if by_millis >= 0 {
        time.checked_add(distance)
    } else {
        time.checked_sub(distance)
    };
    shifted.unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[derive(Debug)]
    struct At(u64);

    impl TimeSource for At {
        fn now(&self) -> SystemTime {
            UNIX_EPOCH + Duration::from_secs(self.0)
        }
    }

    /// 2026-01-01T00:00:00Z.
    const NEW_YEAR: u64 = 1_767_225_600;

    fn seconds(time: SystemTime) -> u64 {
        time.duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    #[test]
    fn corrects_a_skewed_clock_in_both_directions_and_removes_the_correction_again() {
        for local in [NEW_YEAR - 3600, NEW_YEAR + 600] {
            let clock = Clock::new(SharedTimeSource::new(At(local)));
            assert!(clock.observe_server_date("Thu, 01 Jan 2026 00:00:00 GMT"));
            assert_eq!(seconds(clock.now()), NEW_YEAR);
            assert!(!clock.observe_server_date("Thu, 01 Jan 2026 00:00:05 GMT"));
            assert_eq!(seconds(clock.now()), NEW_YEAR, "small changes are latency");
        }
        let clock = Clock::new(SharedTimeSource::new(At(NEW_YEAR)));
        assert!(clock.observe_server_date("Thu, 01 Jan 2026 01:00:00 GMT"));
        assert!(clock.observe_server_date("Thu, 01 Jan 2026 00:00:01 GMT"));
        assert_eq!(
            clock.skew_millis(),
            0,
            "a clock that shows the right time needs no correction"
        );
    }

    #[test]
    fn ignores_latency_and_text_that_is_not_a_date() {
        let clock = Clock::new(SharedTimeSource::new(At(NEW_YEAR)));
        for text in [
            "Thu, 01 Jan 2026 00:00:14 GMT",
            "",
            "yesterday",
            "2026-01-01T09:00:00Z",
        ] {
            assert!(!clock.observe_server_date(text), "{text}");
            assert_eq!(clock.skew_millis(), 0, "{text}");
        }
    }
}
