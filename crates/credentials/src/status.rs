//! What the refresher knows, for `/readyz`, `/metrics` and `doctor`: plain numbers and words, no secrets.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{choice::Choice, unavailable::Unavailable};

/// Key of [`Status::refreshes_by_result`] for refreshes that brought credentials; the others are [`crate::Reason`]s.
pub const SUCCESS: &str = "success";

/// A snapshot.
#[derive(Clone, Debug)]
pub struct Status {
    /// Method, why, roles on top, conflicts.
    pub choice: Choice,
    /// Region used for STS; none where no STS call is made.
    pub region: Option<String>,
    /// Generation of the current credentials; 0 while there never were any.
    pub generation: u64,
    /// When the current credentials were obtained.
    pub obtained_at: Option<SystemTime>,
    /// When they end; none for keys without an end.
    pub expires_at: Option<SystemTime>,
    /// Seconds until they end, negative afterwards; none for keys without an end.
    pub seconds_to_expiry: Option<f64>,
    /// Seconds since they were obtained.
    pub age_seconds: Option<f64>,
    /// When the next refresh or the next try is due; none for keys without an end.
    pub next_refresh_at: Option<SystemTime>,
    /// Why the last refresh failed; none when it succeeded. Credentials may be valid all the same.
    pub last_error: Option<Unavailable>,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// Finished refreshes by result: [`SUCCESS`] or the word of a [`crate::Reason`].
    pub refreshes_by_result: BTreeMap<&'static str, u64>,
    /// Refreshes that a rejected request asked for.
    pub forced_refreshes: u64,
    /// What is added to the local clock to get AWS's time, in seconds.
    pub clock_skew_seconds: f64,
}

impl Status {
    /// Whether there is something to sign with.
    pub fn is_usable(&self) -> bool {
        self.generation > 0 && self.seconds_to_expiry.is_none_or(|seconds| seconds > 0.0)
    }
}

/// `to - from` in seconds, negative when `to` is earlier.
pub(crate) fn seconds_between(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(ahead) => ahead.as_secs_f64(),
        Err(behind) => -behind.duration().as_secs_f64(),
    }
}

/// What is left until `end`; zero once it has passed.
pub(crate) fn remaining(now: SystemTime, end: SystemTime) -> Duration {
    end.duration_since(now).unwrap_or_default()
}
