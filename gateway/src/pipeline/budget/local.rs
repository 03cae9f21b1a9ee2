//! The accounts of a budget in one gateway: its own requests, and the totals that the store has reported.
//!
//! While the store is available, its accounts decide. During an outage these do. After a restart of the store without its
//! data, its accounts start from the totals here.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use api::budget::Window;

use super::account::{Account, Hold, Totals};

/// Windows that are kept: a clock can be set back.
const KEPT: usize = 3;

/// The windows of a budget.
#[derive(Debug, Default)]
pub(super) struct LocalAccounts(Mutex<Windows>);

#[derive(Debug, Default)]
struct Windows {
    pages: BTreeMap<Window, Page>,
    /// The last window with a logged warning.
    warned: Option<Window>,
}

#[derive(Debug, Default)]
struct Page {
    account: Account,
    /// What the store has reported as spent; excludes settlements that it has not confirmed.
    confirmed: u64,
}

impl LocalAccounts {
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the store has reported as spent.
    pub(super) fn confirmed(&self, window: Window) -> u64 {
        let windows = self.lock();
        windows.pages.get(&window).map_or(0, |page| page.confirmed)
    }

    /// What is spent as far as this gateway knows.
    pub(super) fn spent(&self, window: Window) -> u64 {
        let windows = self.lock();
        let page = windows.pages.get(&window);
        page.map_or(0, |page| page.account.totals().spent)
    }

    /// Adopts the totals that the store has reported.
    pub(super) fn confirm(&self, window: Window, totals: Totals) {
        let mut windows = self.lock();
        let page = windows.page(window);
        page.confirmed = page.confirmed.max(totals.spent);
        page.account.raise(totals.spent);
    }

    /// Adds a hold of a request that the store has admitted.
    pub(super) fn hold(&self, window: Window, id: u64, hold: Hold, now: u64) {
        let mut windows = self.lock();
        let account = &mut windows.page(window).account;
        account.expire(now);
        account.hold(id, hold, now);
    }

    /// Adds a hold if it fits into the limit.
    ///
    /// # Errors
    /// The totals, if it does not fit.
    pub(super) fn try_hold(
        &self,
        window: Window,
        (id, hold): (u64, Hold),
        limit: u64,
        now: u64,
    ) -> Result<(), Totals> {
        let mut windows = self.lock();
        let account = &mut windows.page(window).account;
        account.expire(now);
        if !account.fits(id, hold, limit) {
            return Err(account.totals());
        }
        account.hold(id, hold, now);
        Ok(())
    }

    /// Replaces a hold by the cost of its request.
    pub(super) fn settle(&self, window: Window, id: u64, cost: u64, now: u64) {
        self.lock().page(window).account.settle(id, cost, now);
    }

    /// Whether no warning was logged in the window. At most once for each window.
    pub(super) fn is_first_warning(&self, window: Window) -> bool {
        self.lock().warned.replace(window) != Some(window)
    }
}

impl Windows {
    fn page(&mut self, window: Window) -> &mut Page {
        if !self.pages.contains_key(&window) && self.pages.len() >= KEPT {
            self.pages.pop_first();
        }
        self.pages.entry(window).or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(start: u64) -> Window {
        Window {
            start,
            end: start + 10,
        }
    }

    #[test]
    fn clock_that_is_set_back_finds_the_earlier_window_with_its_counts() {
        let local = LocalAccounts::default();
        local.settle(window(10), 1, 70, 10_000);
        local.settle(window(20), 2, 5, 20_000);
        assert_eq!(local.spent(window(10)), 70);
        assert_eq!(local.spent(window(20)), 5);
        for start in [30, 40] {
            local.settle(window(start), start, 1, start * 1000);
        }
        assert_eq!((local.spent(window(10)), local.spent(window(20))), (0, 5));
    }

    #[test]
    fn settlements_on_their_way_to_the_store_are_spent_but_not_confirmed() {
        let local = LocalAccounts::default();
        local.confirm(
            window(10),
            Totals {
                spent: 100,
                held: 0,
            },
        );
        local.settle(window(10), 1, 5, 10_000);
        assert_eq!(local.confirmed(window(10)), 100);
        assert_eq!(local.spent(window(10)), 105);
        local.confirm(
            window(10),
            Totals {
                spent: 105,
                held: 0,
            },
        );
        assert_eq!(local.spent(window(10)), 105);
    }

    #[test]
    fn each_window_has_one_warning() {
        let local = LocalAccounts::default();
        let warnings = [10, 10, 20, 20].map(|start| local.is_first_warning(window(start)));
        assert_eq!(warnings, [true, false, true, false]);
    }
}
