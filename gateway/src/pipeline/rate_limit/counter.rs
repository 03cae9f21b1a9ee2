//! Usage of one subject in this gateway.
//!
//! The lock is held for a few additions only and never across an await; open requests are an atomic.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::counts::Counts;
use crate::http::request_guards::InFlight;

/// Counts that survive a reload of the configuration.
#[derive(Debug, Default)]
pub(super) struct Counter {
    counts: Mutex<Counts>,
    /// Open requests.
    pub(super) open: InFlight,
}

impl Counter {
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
