//! The accounts of budgets in a Redis or Valkey server.
//!
//! Gateways lease parts of a budget from the server, and report their costs to it. The server's clock determines the window
//! of a request. While the server is unavailable, costs wait: none is lost, and the server ignores repeated reports. Each
//! call contains what the server has reported as spent, so that a server that lost its data continues from there.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{budget::Window, config::RedisStore};
use tokio::{task::JoinSet, time::Instant};

use super::{
    account::{Ask, Leased, Next, Totals},
    holds::Budget,
    local::LocalAccounts,
};
use crate::pipeline::shared_store::{
    KEY_PREFIX, StoreError, Texts,
    calls::{Book, Call, Reply, Shared},
};

const TEXTS: Texts = Texts {
    name: "budget store",
    meanwhile: "budgets follow their onStoreFailure",
};

/// The accounts. Dropping the store stops its tasks.
#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared<Leases>>,
    /// The server's time minus the gateway's, in milliseconds.
    offset: AtomicI64,
    _tasks: JoinSet<()>,
}

/// The accounts of this gateway that the server has, or must have.
#[derive(Debug, Default)]
struct Leases {
    accounts: Mutex<Accounts>,
    /// The server's time in its last response, in milliseconds since 1970.
    time: AtomicU64,
}

#[derive(Debug, Default)]
struct Accounts {
    /// Accounts that have changed.
    queue: Vec<Place>,
    /// Accounts with a lease, or with costs that the server does not have. By the address of their budget, and window.
    open: HashMap<(usize, Window), Place>,
}

/// A budget in a window.
#[derive(Clone, Debug)]
struct Place {
    budget: Arc<Budget>,
    window: Window,
}

impl Store {
    /// A store that connects in the background; until then it is unavailable.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(super) fn start(settings: &RedisStore) -> Result<Self, StoreError> {
        let (shared, tasks) = Shared::start(settings, include_str!("store/accounts.lua"), TEXTS)?;
        Ok(Self {
            shared,
            offset: AtomicI64::new(0),
            _tasks: tasks,
        })
    }

    /// Whether the store has these settings.
    pub(super) fn has_settings(&self, settings: &RedisStore) -> bool {
        self.shared.server.has_settings(settings)
    }

    /// Whether the server is available, as of the last call.
    pub(super) fn is_up(&self) -> bool {
        self.shared.server.is_up()
    }

    /// The server's time for a time of the gateway, in milliseconds since 1970.
    pub(super) fn time(&self, now: u64) -> u64 {
        now.saturating_add_signed(self.offset.load(Ordering::Relaxed))
    }

    /// Queues an account that has reported that it must be queued. It is sent in the background.
    pub(super) fn queue(&self, budget: &Arc<Budget>, window: Window) {
        let budget = Arc::clone(budget);
        if self.shared.book.lock().add(Place { budget, window }) {
            self.shared.added();
        }
    }

    /// Sends queued accounts now and waits. Returns whether the server has responded. `now`: the gateway's time.
    pub(super) async fn call(&self, now: u64) -> bool {
        let time = || self.shared.book.time.load(Ordering::Relaxed);
        let before = time();
        let has_response = self.shared.call().await;
        let after = time();
        if has_response && after != before {
            let after = i64::try_from(after).unwrap_or(i64::MAX);
            let offset = after.saturating_sub_unsigned(now);
            self.offset.store(offset, Ordering::Relaxed);
        }
        has_response
    }

    /// Waits until the server has all costs.
    pub(super) async fn settled(&self) {
        while !self.shared.book.lock().are_settled() {
            self.shared.flush();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Leases {
    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Queues an account. Returns whether nothing was queued before.
    fn add(&mut self, place: Place) -> bool {
        let is_first = self.queue.is_empty();
        self.open.insert(place.id(), place.clone());
        self.queue.push(place);
        is_first
    }

    /// Queues an account although nothing has changed.
    fn renew(&mut self, place: Place) {
        if place.local().renew(place.window) {
            self.add(place);
        }
    }

    /// Whether nothing waits, and nothing is on its way.
    fn are_settled(&self) -> bool {
        let mut places = self.open.values();
        places.all(|place| place.local().is_settled(place.window))
    }
}

impl Place {
    /// Budgets keep their accounts after a reload.
    fn id(&self) -> (usize, Window) {
        (Arc::as_ptr(&self.budget.local).addr(), self.window)
    }

    fn local(&self) -> &LocalAccounts {
        &self.budget.local
    }

    /// Adds what is asked to a call.
    fn write(&self, ask: &Ask, call: &mut Call) {
        let Self { budget, window } = self;
        let [hash, due] = &self.local().keys(&budget.key, *window);
        call.place([hash, due]);
        for number in [
            ask.id,
            ask.known,
            ask.since,
            window.start.saturating_mul(1000),
            window.end.saturating_mul(1000),
            budget.limit(),
            ask.cost,
            ask.unconfirmed,
            ask.floor,
            ask.keep,
            ask.want,
            ask.spare,
        ] {
            call.number(number);
        }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        for place in self.lock().queue.drain(..) {
            place.local().left_queue(place.window);
        }
    }
}

impl Book for Leases {
    type Sent = Vec<(Place, Ask)>;

    fn is_waiting(&self) -> bool {
        !self.lock().queue.is_empty()
    }

    fn write(&self, call: &mut Call) -> Self::Sent {
        let queue = std::mem::take(&mut self.lock().queue);
        let now = Instant::now();
        let asked = queue.into_iter().filter_map(|place| {
            let ask = place.local().ask(place.window, place.budget.limit(), now)?;
            place.write(&ask, call);
            Some((place, ask))
        });
        asked.collect()
    }

    fn adopt(&self, sent: Self::Sent, mut reply: Option<Reply>) {
        let mut row = || reply.as_mut()?.next_row();
        if let Some(time) = row().and_then(|row| row.numbers().next()) {
            self.time.store(time, Ordering::Relaxed);
        }
        let mut accounts = self.lock();
        for (place, ask) in sent {
            let leased = row().and_then(|row| leased(&mut row.numbers()));
            let Some(leased) = leased else {
                accounts.renew(place);
                continue;
            };
            match place.local().adopt(place.window, &ask, leased) {
                Next::Queue => {
                    accounts.add(place);
                }
                Next::Wait => {}
                Next::Close => {
                    accounts.open.remove(&place.id());
                }
            }
        }
    }

    fn renew(&self) {
        let mut accounts = self.lock();
        let open: Vec<Place> = accounts.open.values().cloned().collect();
        for place in open {
            accounts.renew(place);
        }
    }
}

/// The key of a budget, without its window. The part in braces keeps the keys of a BedrockAccess in one slot of a
/// cluster.
pub(super) fn key(access: &str, client: Option<&str>, rest: &str) -> Arc<str> {
    match client {
        None => format!("{KEY_PREFIX}:{{{access}}}:budget:access:{rest}").into(),
        Some(client) => format!("{KEY_PREFIX}:{{{access}}}:budget:client:{client}:{rest}").into(),
    }
}

/// The keys of an account.
pub(super) fn keys(budget: &str, window: Window) -> [String; 2] {
    let start = window.start;
    [format!("{budget}:{start}"), format!("{budget}:{start}:due")]
}

/// The line of an account.
fn leased(numbers: &mut impl Iterator<Item = u64>) -> Option<Leased> {
    let totals = Totals {
        spent: numbers.next()?,
        held: numbers.next()?,
    };
    Some(Leased {
        totals,
        lease: numbers.next()?,
        since: numbers.next()?,
    })
}

#[cfg(test)]
mod tests;
