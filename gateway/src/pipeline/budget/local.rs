//! The accounts of a budget in one gateway: its own requests, and the totals that the store has reported.
//!
//! While the store is available, its accounts decide. During an outage these do. After a restart of the store without its
//! data, its accounts start from the totals here.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{budget::Window, shares::Grant};
use arc_swap::ArcSwapOption;

use super::{
    account::{Account, Hold, Totals},
    store,
};

/// Windows that are kept: a clock can be set back.
const KEPT: usize = 3;
/// The part of its unused share that a draining process keeps for its last requests: one in this number.
const DRAINING_PART: u64 = 8;

/// The windows of a budget.
#[derive(Debug, Default)]
pub(super) struct LocalAccounts {
    windows: Mutex<Windows>,
    /// That of the last request.
    recent: ArcSwapOption<Recent>,
}

/// A window, and the keys of its account in the store.
#[derive(Debug)]
struct Recent {
    window: Window,
    keys: [Arc<str>; 2],
}

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
    /// Without a store, once the operator has granted it.
    share: Option<Share>,
}

/// What this process may spend in a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) revision: u64,
    pub(super) most: u64,
    /// What other processes have spent.
    elsewhere: u64,
    /// The largest hold that did not fit.
    pub(super) wanted: u64,
}

impl LocalAccounts {
    fn lock(&self) -> MutexGuard<'_, Windows> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The window at a time, in seconds since 1970. A calendar computes it once for each window.
    pub(super) fn window(
        &self,
        seconds: u64,
        compute: impl FnOnce() -> Window,
        key: &str,
    ) -> Window {
        if let Some(recent) = &*self.recent.load()
            && (recent.window.start..recent.window.end).contains(&seconds)
        {
            return recent.window;
        }
        let window = compute();
        // One without end is not of a calendar.
        if window.end < u64::MAX {
            let keys = store::keys(key, window).map(Arc::from);
            self.recent.store(Some(Arc::new(Recent { window, keys })));
        }
        window
    }

    /// The keys of the account of a window in the store.
    pub(super) fn keys(&self, key: &str, window: Window) -> [Arc<str>; 2] {
        match &*self.recent.load() {
            Some(recent) if recent.window == window => recent.keys.clone(),
            _ => store::keys(key, window).map(Arc::from),
        }
    }

    /// What the store has reported as spent.
    pub(super) fn confirmed(&self, window: Window) -> u64 {
        let windows = self.lock();
        windows.pages.get(&window).map_or(0, |page| page.confirmed)
    }

    /// What is spent as far as this gateway knows.
    pub(super) fn spent(&self, window: Window) -> u64 {
        let windows = self.lock();
        windows.pages.get(&window).map_or(0, Page::spent)
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

    /// Adds a hold if it fits into the limit; without a limit, into the share.
    ///
    /// # Errors
    /// The totals, if it does not fit.
    pub(super) fn try_hold(
        &self,
        window: Window,
        (id, hold): (u64, Hold),
        limit: Option<u64>,
        now: u64,
    ) -> Result<(), Totals> {
        let mut windows = self.lock();
        let page = windows.page(window);
        page.account.expire(now);
        let share = page.share.unwrap_or_default();
        if !page.account.fits(id, hold, limit.unwrap_or(share.most)) {
            if let Some(share) = &mut page.share {
                share.wanted = share.wanted.max(hold.most);
            }
            let spent = page.spent();
            return Err(Totals {
                spent,
                ..page.account.totals()
            });
        }
        page.account.hold(id, hold, now);
        Ok(())
    }

    /// Replaces a hold by the cost of its request.
    pub(super) fn settle(&self, window: Window, id: u64, cost: u64, now: u64) {
        let mut windows = self.lock();
        let account = &mut windows.page(window).account;
        account.settle(id, cost, now);
        account.forget(id);
    }

    /// Adopts a share, unless a later one is known.
    pub(super) fn grant(&self, window: Window, grant: &Grant) {
        let mut windows = self.lock();
        let page = windows.page(window);
        let used = page.used();
        let share = page.share.get_or_insert_default();
        if grant.revision > share.revision {
            *share = Share {
                revision: grant.revision,
                // What is used cannot be given back.
                most: grant.share.max(used),
                ..Share::default()
            };
        }
        if grant.revision >= share.revision {
            share.elsewhere = grant.elsewhere;
        }
    }

    /// The start of each window with a share, the share, and what is spent and held of it. A process that is draining gives
    /// most of the rest back.
    pub(super) fn shares(&self, draining: bool) -> Vec<(u64, Share, u64)> {
        let mut windows = self.lock();
        let pages = windows.pages.iter_mut();
        let of_page = |(window, page): (&Window, &mut Page)| {
            let used = page.used();
            let share = page.share.as_mut()?;
            if draining {
                let rest = share.most.saturating_sub(used);
                share.most = used.saturating_add(rest / DRAINING_PART);
            }
            Some((window.start, *share, used))
        };
        pages.filter_map(of_page).collect()
    }

    /// Whether no warning was logged in the window. At most once for each window.
    pub(super) fn is_first_warning(&self, window: Window) -> bool {
        self.lock().warned.replace(window) != Some(window)
    }
}

impl Page {
    /// What is spent as far as this gateway knows.
    fn spent(&self) -> u64 {
        let elsewhere = self.share.map_or(0, |share| share.elsewhere);
        self.account.totals().spent.saturating_add(elsewhere)
    }

    /// What is spent and held here.
    fn used(&self) -> u64 {
        let Totals { spent, held } = self.account.totals();
        spent.saturating_add(held)
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
