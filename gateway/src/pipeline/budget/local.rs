//! The accounts of a budget in one gateway, by window.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{budget::Window, shares::Grant};
use arc_swap::ArcSwapOption;
use tokio::time::Instant;

use super::{
    account::{Account, Ask, Hold, Leased, Next, Share, Short, Within},
    store,
};

/// Windows that are kept: a clock can be set back.
const KEPT: usize = 3;

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
    accounts: BTreeMap<Window, Account>,
    /// The last window with a logged warning.
    warned: Option<Window>,
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

    /// What is spent as far as this gateway knows.
    pub(super) fn spent(&self, window: Window) -> u64 {
        let windows = self.lock();
        windows.accounts.get(&window).map_or(0, Account::spent)
    }

    /// [`Account::hold`].
    ///
    /// # Errors
    /// When the hold does not fit.
    pub(super) fn hold(
        &self,
        window: Window,
        hold: Hold,
        within: Within,
        limit: u64,
    ) -> Result<bool, Short> {
        self.lock().account(window).hold(hold, within, limit)
    }

    /// [`Account::settle`].
    pub(super) fn settle(&self, window: Window, hold: Hold, cost: u64) -> bool {
        self.lock().account(window).settle(hold, cost)
    }

    /// [`Account::want`].
    pub(super) fn want(&self, window: Window, hold: Hold) -> bool {
        self.lock().account(window).want(hold)
    }

    /// [`Account::renew`].
    pub(super) fn renew(&self, window: Window) -> bool {
        self.known(window, Account::renew).unwrap_or(false)
    }

    /// [`Account::left_queue`].
    pub(super) fn left_queue(&self, window: Window) {
        self.known(window, Account::left_queue);
    }

    /// [`Account::ask`].
    pub(super) fn ask(&self, window: Window, limit: u64, now: Instant) -> Option<Ask> {
        self.known(window, |account| account.ask(limit, now))?
    }

    /// [`Account::adopt`].
    pub(super) fn adopt(&self, window: Window, asked: &Ask, leased: Leased) -> Next {
        let next = self.known(window, |account| account.adopt(asked, leased));
        next.unwrap_or(Next::Close)
    }

    /// [`Account::is_settled`].
    pub(super) fn is_settled(&self, window: Window) -> bool {
        let settled = self.known(window, |account| account.is_settled());
        settled.unwrap_or(true)
    }

    /// Of an account, unless it is forgotten.
    fn known<T>(&self, window: Window, get: impl FnOnce(&mut Account) -> T) -> Option<T> {
        self.lock().accounts.get_mut(&window).map(get)
    }

    /// Adopts a share, unless a later one is known.
    pub(super) fn grant(&self, window: Window, grant: &Grant) {
        self.lock().account(window).grant(grant);
    }

    /// The start of each window with a share, the share, and what is spent and held of it. A process that is draining gives
    /// most of the rest back.
    pub(super) fn shares(&self, draining: bool) -> Vec<(u64, Share, u64)> {
        let mut windows = self.lock();
        let accounts = windows.accounts.iter_mut();
        let of_account = |(window, account): (&Window, &mut Account)| {
            let (share, used) = account.share(draining)?;
            Some((window.start, share, used))
        };
        accounts.filter_map(of_account).collect()
    }

    /// Whether no warning was logged in the window. At most once for each window.
    pub(super) fn is_first_warning(&self, window: Window) -> bool {
        self.lock().warned.replace(window) != Some(window)
    }
}

impl Windows {
    fn account(&mut self, window: Window) -> &mut Account {
        if !self.accounts.contains_key(&window) && self.accounts.len() >= KEPT {
            self.accounts.pop_first();
        }
        self.accounts.entry(window).or_default()
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
        let settle = |start, cost| local.settle(window(start), Hold::default(), cost);
        settle(10, 70);
        settle(20, 5);
        assert_eq!(local.spent(window(10)), 70);
        assert_eq!(local.spent(window(20)), 5);
        for start in [30, 40] {
            settle(start, 1);
        }
        assert_eq!((local.spent(window(10)), local.spent(window(20))), (0, 5));
    }

    #[test]
    fn each_window_has_one_warning() {
        let local = LocalAccounts::default();
        let warnings = [10, 10, 20, 20].map(|start| local.is_first_warning(window(start)));
        assert_eq!(warnings, [true, false, true, false]);
    }
}
