//! Usage of one subject in this gateway.
//!
//! The lock is held for a few additions only and never across an await; open requests are an atomic.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{counts::Counts, shared_counts::SharedCounts};
use crate::http::request_guards::InFlight;

/// Counts that survive a reload of the configuration.
#[derive(Debug, Default)]
pub(super) struct Counter {
    counts: Mutex<Both>,
    /// Open requests.
    pub(super) open: InFlight,
}

/// The counts of this gateway, and what the store has reported of those of all gateways.
#[derive(Debug, Default)]
pub(super) struct Both {
    pub(super) own: Counts,
    pub(super) shared: SharedCounts,
}

impl Counter {
    pub(super) fn counts(&self) -> MutexGuard<'_, Both> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
