//! Timeouts of streamed responses.

use std::{pin::Pin, time::Duration};

use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    http::error::{GatewayError, Result},
    pipeline::active_config::ActiveConfig,
};

/// Time limits of a stream.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    /// Between two events.
    pub(crate) idle: Duration,
    /// The whole response, and its end.
    pub(crate) total: Option<(Duration, Instant)>,
}

/// What ends the wait for data. Kept for the whole stream, since a timer for each event costs more than the event.
pub(super) struct Waits {
    pub(super) cut: Pin<Box<WaitForCancellationFutureOwned>>,
    pub(super) timer: Pin<Box<Sleep>>,
    ping: Duration,
    limits: Limits,
    /// Time of the last data.
    last: Instant,
    /// Time of the last data or keep-alive.
    sent: Instant,
}

impl Limits {
    /// The limits of a response to a request that was sent at `began`.
    pub(crate) fn new(active: &ActiveConfig, began: Instant) -> Self {
        let total = active.total_time();
        Self {
            idle: active.stream_idle(),
            total: total.and_then(|total| Some((total, began.checked_add(total)?))),
        }
    }

    /// The time that a stream may be silent.
    ///
    /// # Errors
    /// When the response has taken too long.
    pub(crate) fn left(&self, now: Instant) -> Result<Duration> {
        let Some((total, end)) = self.total else {
            return Ok(self.idle);
        };
        if now >= end {
            return Err(GatewayError::TotalTime {
                seconds: total.as_secs(),
            });
        }
        Ok(self.idle.min(end.duration_since(now)))
    }

    /// The error after a silence of this length.
    pub(crate) fn error(&self, now: Instant) -> GatewayError {
        let idle = GatewayError::StreamIdle {
            seconds: self.idle.as_secs(),
        };
        self.left(now).err().unwrap_or(idle)
    }
}

impl Waits {
    pub(super) fn new(cut: CancellationToken, ping: Duration, limits: Limits) -> Self {
        let now = Instant::now();
        let left = limits.left(now).unwrap_or_default();
        Self {
            cut: Box::pin(cut.cancelled_owned()),
            timer: Box::pin(sleep(ping.min(left))),
            ping,
            limits,
            last: now,
            sent: now,
        }
    }

    /// Data has arrived. The timer stays, and is set again when it ends.
    ///
    /// # Errors
    /// When the response has taken too long.
    pub(super) fn received(&mut self) -> Result<()> {
        self.last = Instant::now();
        self.sent = self.last;
        self.limits.left(self.last).map(|_| ())
    }

    /// Whether a keep-alive is due at the end of the timer, which is set again.
    ///
    /// # Errors
    /// When the stream has been silent for too long.
    pub(super) fn is_silent(&mut self) -> Result<bool> {
        let now = Instant::now();
        let left = self.limits.left(now)?;
        if now.duration_since(self.last) >= self.limits.idle {
            return Err(self.limits.error(now));
        }
        let is_due = now.duration_since(self.sent) >= self.ping;
        if is_due {
            self.sent = now;
        }
        let silent = now.duration_since(self.sent);
        let idle = self.limits.idle;
        let left = left.min(idle.saturating_sub(now.duration_since(self.last)));
        let wait = left.min(self.ping.saturating_sub(silent));
        self.timer
            .as_mut()
            .reset(now.checked_add(wait).unwrap_or(now));
        Ok(is_due)
    }
}
