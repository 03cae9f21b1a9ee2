//! What one access or one client has used of its limits in this gateway.
//!
//! The lock is held for a few additions and never across a wait; places among the open requests are an atomic.

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use super::counts::Counts;

/// Counts that outlive the configuration they were made for.
#[derive(Debug, Default)]
pub(super) struct Meter {
    counts: Mutex<Counts>,
    open: AtomicU64,
}

/// A place among the open requests, given back when dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Meter>);

impl Meter {
    pub(super) fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; none where `limit` are taken.
    pub(super) fn enter(self: &Arc<Self>, limit: Option<u64>) -> Option<Place> {
        let before = self.open.fetch_add(1, Ordering::AcqRel);
        let place = Place(Arc::clone(self));
        limit.is_none_or(|limit| before < limit).then_some(place)
    }
}

impl Place {
    pub(super) fn meter(&self) -> &Meter {
        &self.0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn place_is_given_back_also_after_a_refusal() {
        let meter = Arc::new(Meter::default());
        let first = meter.enter(Some(1)).unwrap();
        assert!(meter.enter(Some(1)).is_none());
        let second = meter.enter(None).unwrap();
        drop((first, second));
        assert!(meter.enter(Some(1)).is_some());
        assert_eq!(meter.open.load(Ordering::Acquire), 0);
    }
}
