//! The accounts of budgets in a Redis or Valkey server.
//!
//! One call before each request, sent together with those of other requests: a script holds a part of each of its budgets.
//! Costs follow with a later call, and wait while the server is unavailable: none is lost, and the server ignores
//! repetitions. The server's clock decides in which window a request is. Each call contains what the server has reported as spent, so that a server that
//! lost its data continues from there.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{budget::Window, config::RedisStore};
use tokio::task::JoinSet;

use super::{
    account::Totals,
    holds::{Budget, Charge, Holds, Part, Reply},
};
use crate::pipeline::shared_store::{
    KEY_PREFIX, StoreError, Texts,
    calls::{Background, Batch, Row, Shared},
};

/// Costs in one call.
const CHARGE_BATCH: usize = 256;
/// Waiting costs of one account; further ones are added up.
const MAX_CHARGES: usize = 16_384;
const TEXTS: Texts = Texts {
    name: "budget store",
    meanwhile: "budgets follow their onStoreFailure",
};

/// The accounts. Dropping the store stops its tasks.
#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared<Charges>>,
    /// The server's time minus the gateway's, in milliseconds.
    offset: AtomicI64,
    _tasks: JoinSet<()>,
}

/// Costs of ended requests that the server does not have.
#[derive(Debug, Default)]
struct Charges {
    waiting: Mutex<HashMap<Place, Waiting>>,
    /// Costs that wait or are on their way.
    unsettled: AtomicU64,
}

/// Identifies an account: the address of its budget's key, and the start of its window.
type Place = (usize, u64);

/// The waiting costs of one account.
#[derive(Debug)]
struct Waiting {
    budget: Arc<Budget>,
    window: Window,
    charges: Vec<(u64, u64)>,
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

    /// Holds the parts of a request; `None` if the server is unavailable. `now`: the gateway's time.
    pub(super) async fn reserve(&self, holds: &Holds, now: u64) -> Option<Reply> {
        if !self.is_up() {
            return None;
        }
        let row = self.shared.calls.call(|keys, words| {
            words.name(b'r');
            words.number(holds.id);
            words.number(holds.parts.iter().map(|_| 1).sum());
            for part in &holds.parts {
                let Part {
                    budget,
                    window,
                    hold,
                } = part;
                let [hash, due] = &budget.local.keys(&budget.key, *window);
                words.number(keys.place([hash, due]));
                for number in [
                    budget.local.confirmed(*window),
                    window.end.saturating_mul(1000),
                    window.start.saturating_mul(1000),
                    budget.limit(),
                    hold.floor,
                    hold.most,
                ] {
                    words.number(number);
                }
            }
        });
        let row = row.await?;
        let mut numbers = row.numbers();
        let time = numbers.next()?;
        let decision = numbers.next()?;
        let offset = i64::try_from(time).ok()?.saturating_sub_unsigned(now);
        self.offset.store(offset, Ordering::Relaxed);
        if decision == 2 {
            return Some(Reply::Outside { now: time });
        }
        let totals = std::iter::from_fn(|| totals(&mut numbers));
        Some(Reply::Decided {
            fits: decision == 1,
            totals: totals.collect(),
        })
    }

    /// Settles a cost in the background.
    pub(super) fn settle(&self, charge: Charge) {
        if self.shared.background.add(charge) {
            self.shared.calls.added();
        }
    }

    /// Waits until all costs are settled.
    pub(super) async fn settled(&self) {
        while self.shared.background.unsettled.load(Ordering::Acquire) > 0 {
            self.shared.calls.flush();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Charges {
    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a cost; whether nothing waited before.
    fn add(&self, charge: Charge) -> bool {
        let Charge {
            budget,
            window,
            id,
            cost,
        } = charge;
        let mut waiting = self.lock();
        let is_first = waiting.is_empty();
        let account = waiting
            .entry(place(&budget, window))
            .or_insert_with(|| Waiting {
                budget,
                window,
                charges: Vec::new(),
            });
        // During a long outage. The server has no hold of such a request, or returns it after its lease.
        if account.charges.len() >= MAX_CHARGES
            && let Some((_, last)) = account.charges.last_mut()
        {
            *last = last.saturating_add(cost);
            return is_first;
        }
        account.charges.push((id, cost));
        self.unsettled.fetch_add(1, Ordering::AcqRel);
        is_first
    }

    /// Takes waiting costs.
    fn take_some(&self) -> Vec<Waiting> {
        let mut waiting = self.lock();
        let mut left = CHARGE_BATCH;
        let mut taken = Vec::new();
        while left > 0
            && let Some(place) = waiting.keys().next().copied()
            && let Some(mut account) = waiting.remove(&place)
        {
            if account.charges.len() > left {
                let rest = Waiting {
                    budget: Arc::clone(&account.budget),
                    window: account.window,
                    charges: account.charges.split_off(left),
                };
                waiting.insert(place, rest);
            }
            left = left.saturating_sub(account.charges.len());
            taken.push(account);
        }
        taken
    }

    /// Puts costs back that could not be settled.
    fn put_back(&self, mut account: Waiting) {
        let mut waiting = self.lock();
        let place = place(&account.budget, account.window);
        if let Some(added) = waiting.remove(&place) {
            account.charges.extend(added.charges);
        }
        waiting.insert(place, account);
    }
}

impl Background for Charges {
    type Sent = Vec<Waiting>;

    fn is_waiting(&self) -> bool {
        !self.lock().is_empty()
    }

    fn take(&self, batch: &mut Batch) -> Option<Vec<Waiting>> {
        let taken = self.take_some();
        let (mut keys, words) = batch.parts();
        for account in &taken {
            let Waiting {
                budget,
                window,
                charges,
            } = account;
            let [hash, due] = &budget.local.keys(&budget.key, *window);
            words.name(b's');
            words.number(keys.place([hash, due]));
            words.number(budget.local.confirmed(*window));
            words.number(window.end.saturating_mul(1000));
            words.number(charges.iter().map(|_| 1).sum());
            for (id, cost) in charges {
                words.number(*id);
                words.number(*cost);
            }
        }
        (!taken.is_empty()).then_some(taken)
    }

    fn end<R: Iterator<Item = Row>>(&self, sent: Vec<Waiting>, mut rows: Option<&mut R>) {
        for account in sent {
            let row = rows.as_mut().and_then(Iterator::next);
            let totals = row.and_then(|row| totals(&mut row.numbers()));
            let Some(totals) = totals else {
                self.put_back(account);
                continue;
            };
            account.budget.local.confirm(account.window, totals);
            let count = u64::try_from(account.charges.len()).unwrap_or(u64::MAX);
            self.unsettled.fetch_sub(count, Ordering::AcqRel);
        }
    }
}

fn place(budget: &Budget, window: Window) -> Place {
    (Arc::as_ptr(&budget.key).addr(), window.start)
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

/// The next totals of a reply.
fn totals(numbers: &mut impl Iterator<Item = u64>) -> Option<Totals> {
    let spent = numbers.next()?;
    let held = numbers.next()?;
    Some(Totals { spent, held })
}

#[cfg(test)]
mod tests;
