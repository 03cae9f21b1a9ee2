//! Limits the log lines of requests without valid credentials, of which strangers can cause any number.

use std::sync::{Mutex, PoisonError};

use http::StatusCode;
use tokio::time::{Duration, Instant};

/// Lines in each period.
const LINES: u32 = 10;
const PERIOD: Duration = Duration::from_secs(1);

/// Decides which requests are logged.
#[derive(Debug, Default)]
pub(crate) struct Sampler(Mutex<Window>);

#[derive(Debug, Default)]
struct Window {
    start: Option<Instant>,
    logged: u32,
    unlogged: u64,
}

impl Sampler {
    /// The number of lines left out since the last one; none if this one is left out, too.
    pub(crate) fn admit(&self, status: u16) -> Option<u64> {
        if status != StatusCode::UNAUTHORIZED.as_u16() {
            return Some(0);
        }
        let mut window = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if window.start.is_none_or(|start| start.elapsed() >= PERIOD) {
            window.start = Some(Instant::now());
            window.logged = 0;
        }
        if window.logged >= LINES {
            window.unlogged = window.unlogged.saturating_add(1);
            return None;
        }
        window.logged = window.logged.saturating_add(1);
        Some(std::mem::take(&mut window.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_rejections_a_second_are_logged_and_the_rest_counted() {
        let sampler = Sampler::default();
        let logged = (0..1000).filter(|_| sampler.admit(401).is_some()).count();
        assert_eq!(logged, 10);
        assert!((0..1000).all(|_| sampler.admit(200) == Some(0)));
        tokio::time::advance(PERIOD).await;
        assert_eq!(sampler.admit(401), Some(990));
        assert_eq!(sampler.admit(401), Some(0));
    }
}
