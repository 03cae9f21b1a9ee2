//! Timeouts of streamed responses.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{
    http::{
        error::{GatewayError, Result},
        rare::Rare,
    },
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
pub(crate) struct Waits {
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    timer: Pin<Box<Sleep>>,
    rare: Rare,
    silence: Silence,
}

/// The time since the last data.
struct Silence {
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
    /// Keep-alives are due after each `ping`.
    pub(crate) fn new(cut: CancellationToken, ping: Duration, limits: Limits) -> Self {
        let now = Instant::now();
        let left = limits.left(now).unwrap_or_default();
        Self {
            cut: Box::pin(cut.cancelled_owned()),
            timer: Box::pin(sleep(ping.min(left))),
            rare: Rare::new(),
            silence: Silence {
                ping,
                limits,
                last: now,
                sent: now,
            },
        }
    }

    /// Data has arrived. The timer stays, and is set again when it ends.
    ///
    /// # Errors
    /// When the response has taken too long.
    pub(crate) fn received(&mut self) -> Result<()> {
        let now = Instant::now();
        self.silence.last = now;
        self.silence.sent = now;
        self.silence.limits.left(now).map(|_| ())
    }

    /// Waits until a keep-alive is due.
    ///
    /// # Errors
    /// When the server shuts down, the stream has been silent for too long, or the response has taken too long.
    pub(crate) fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let Self {
            cut,
            timer,
            rare,
            silence,
        } = self;
        rare.poll(cx, |cx| {
            if cut.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(GatewayError::ShuttingDown));
            }
            loop {
                ready!(timer.as_mut().poll(cx));
                let (is_due, next) = silence.end(Instant::now())?;
                timer.as_mut().reset(next);
                if is_due {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }
}

impl Silence {
    /// Whether a keep-alive is due at the end of the timer, and the next end.
    ///
    /// # Errors
    /// When the stream has been silent for too long, or the response has taken too long.
    fn end(&mut self, now: Instant) -> Result<(bool, Instant)> {
        let left = self.limits.left(now)?;
        let silent = now.duration_since(self.last);
        if silent >= self.limits.idle {
            return Err(self.limits.error(now));
        }
        let is_due = now.duration_since(self.sent) >= self.ping;
        if is_due {
            self.sent = now;
        }
        let left = left.min(self.limits.idle.saturating_sub(silent));
        let until_ping = self.ping.saturating_sub(now.duration_since(self.sent));
        Ok((is_due, now.checked_add(left.min(until_ping)).unwrap_or(now)))
    }
}
