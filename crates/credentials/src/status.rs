//! The state of the refresher for `/readyz`, `/metrics` and `doctor`, without secrets.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{choice::Choice, unavailable::Unavailable};

/// Key of successful refreshes in [`Status::refreshes_by_result`]; the other keys are [`crate::Reason`]s.
pub const SUCCESS: &str = "success";

/// A snapshot of the refresher's state.
#[derive(Clone, Debug)]
pub struct Status {
    /// Method, reason, assumed roles and conflicts.
    pub choice: Choice,
    /// Region of the STS calls; `None` if no STS call is made.
    pub region: Option<String>,
    /// Generation of the current credentials; 0 before the first ones.
    pub generation: u64,
    /// When the current credentials were obtained.
    pub obtained_at: Option<SystemTime>,
    /// When the current credentials expire; `None` for keys that do not expire.
    pub expires_at: Option<SystemTime>,
    /// Seconds until the credentials expire, negative afterwards; `None` for keys that do not expire.
    pub seconds_to_expiry: Option<f64>,
    /// Seconds since the credentials were obtained.
    pub age_seconds: Option<f64>,
    /// When the next refresh or retry is due; `None` for keys that do not expire.
    pub next_refresh_at: Option<SystemTime>,
    /// Why the last refresh failed; `None` if it succeeded. The current credentials may still be valid.
    pub last_error: Option<Unavailable>,
    /// Why AWS refuses the current credentials; `None` if it accepts them.
    pub refused: Option<Unavailable>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Finished refreshes by result: [`SUCCESS`] or a [`crate::Reason`].
    pub refreshes_by_result: BTreeMap<&'static str, u64>,
    /// Refreshes forced by a rejected request.
    pub forced_refreshes: u64,
    /// The correction that is added to the local clock to get AWS's time, in seconds.
    pub clock_skew_seconds: f64,
}

impl Status {
    /// Whether credentials exist, have not expired, and AWS does not refuse them.
    pub fn is_usable(&self) -> bool {
        self.generation > 0
            && self.refused.is_none()
            && self.seconds_to_expiry.is_none_or(|seconds| seconds > 0.0)
    }
}

/// `to - from` in seconds, negative when `to` is earlier.
pub(crate) fn seconds_between(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    }
}

/// The time from `now` until `end`; zero if `end` has passed.
pub(crate) fn remaining(now: SystemTime, end: SystemTime) -> Duration {
    end.duration_since(now).unwrap_or_default()
}
