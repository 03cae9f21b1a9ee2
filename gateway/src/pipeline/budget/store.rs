//! The accounts of budgets in a Redis or Valkey server.
//!
//! One round trip before each request: a script holds a part of each of its budgets. Costs follow in the background,
//! and wait while the server is unavailable: none is lost, and the server ignores repetitions. The server's clock
//! decides in which window a request is. Each call contains what the server has reported as spent, so that a server that
//! lost its data continues from there.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use api::{budget::Window, config::RedisStore};
use redis::Script;
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    account::Totals,
    holds::{Budget, Charge, Holds, Reply},
};
use crate::pipeline::shared_store::{KEY_PREFIX, SharedStore, StoreError, Texts, keep_connected};

/// Costs of one account in one call.
const CHARGE_BATCH: usize = 256;
/// Waiting costs of one account; further ones are added up.
const MAX_CHARGES: usize = 16_384;
/// Pause before costs are sent again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

const RESERVE: &str = concat!(
    include_str!("store/account.lua"),
    include_str!("store/reserve.lua")
);
const SETTLE: &str = concat!(
    include_str!("store/account.lua"),
    include_str!("store/settle.lua")
);
const TEXTS: Texts = Texts {
    name: "budget store",
    meanwhile: "budgets follow their onStoreFailure",
};

/// The accounts. Dropping the store stops its tasks.
#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    server: SharedStore,
    reserve: Script,
    settle: Script,
    waiting: Mutex<HashMap<(Arc<str>, Window), Waiting>>,
    /// Costs that wait or are on their way.
    unsettled: AtomicU64,
    added: Notify,
    /// The server's time minus the gateway's, in milliseconds.
    offset: AtomicI64,
}

/// The waiting costs of one account.
#[derive(Debug)]
struct Waiting {
    budget: Arc<Budget>,
    charges: Vec<(u64, u64)>,
}

impl Store {
    /// A store that connects in the background; until then it is unavailable.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(super) fn start(settings: &RedisStore) -> Result<Self, StoreError> {
        let (reserve, settle) = (Script::new(RESERVE), Script::new(SETTLE));
        let scripts = vec![reserve.clone(), settle.clone()];
        let shared = Arc::new(Shared {
            server: SharedStore::new(settings, scripts, TEXTS)?,
            reserve,
            settle,
            waiting: Mutex::default(),
            unsettled: AtomicU64::new(0),
            added: Notify::new(),
            offset: AtomicI64::new(0),
        });
        let end = CancellationToken::new();
        let connecting = Arc::clone(&shared);
        let connecting = async move { keep_connected(&connecting.server).await };
        let settling = settle_all(Arc::clone(&shared));
        // The token stops the tasks.
        drop(tokio::spawn(
            end.clone().run_until_cancelled_owned(connecting),
        ));
        drop(tokio::spawn(
            end.clone().run_until_cancelled_owned(settling),
        ));
        Ok(Self {
            shared,
            _end: end.drop_guard(),
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
        now.saturating_add_signed(self.shared.offset.load(Ordering::Relaxed))
    }

    /// Holds the parts of a request; `None` if the server is unavailable. `now`: the gateway's time.
    pub(super) async fn reserve(&self, holds: &Holds, now: u64) -> Option<Reply> {
        let mut call = self.shared.reserve.prepare_invoke();
        call.arg(holds.id);
        for part in &holds.parts {
            let [hash, due] = keys(&part.budget.key, part.window);
            call.key(hash).key(due);
            for number in [
                part.budget.limit(),
                part.hold.floor,
                part.hold.most,
                part.budget.local.confirmed(part.window),
                part.window.start.saturating_mul(1000),
                part.window.end.saturating_mul(1000),
            ] {
                call.arg(number);
            }
        }
        let numbers: Vec<u64> = self.shared.server.call(&call).await?;
        let (&[time, decision], rest) = numbers.split_first_chunk::<2>()?;
        let offset = i64::try_from(time).ok()?.saturating_sub_unsigned(now);
        self.shared.offset.store(offset, Ordering::Relaxed);
        if decision == 2 {
            return Some(Reply::Outside { now: time });
        }
        Some(Reply::Decided {
            fits: decision == 1,
            totals: totals(rest),
        })
    }

    /// Settles a cost in the background.
    pub(super) fn settle(&self, charge: Charge) {
        self.shared.add(charge);
        self.shared.added.notify_one();
    }

    /// Waits until all costs are settled.
    pub(super) async fn settled(&self) {
        while self.shared.unsettled.load(Ordering::Acquire) > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Shared {
    fn add(&self, charge: Charge) {
        let Charge {
            budget,
            window,
            id,
            cost,
        } = charge;
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(&budget.key), window);
        let account = waiting.entry(key).or_insert_with(|| Waiting {
            budget,
            charges: Vec::new(),
        });
        // During a long outage. The server has no hold of such a request, or returns it after its lease.
        if account.charges.len() >= MAX_CHARGES
            && let Some((_, last)) = account.charges.last_mut()
        {
            *last = last.saturating_add(cost);
            return;
        }
        account.charges.push((id, cost));
        self.unsettled.fetch_add(1, Ordering::AcqRel);
    }

    /// Takes waiting costs of one account.
    fn take(&self) -> Option<(Window, Waiting)> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = waiting.keys().next().cloned()?;
        let mut account = waiting.remove(&key)?;
        if account.charges.len() > CHARGE_BATCH {
            let rest = account.charges.split_off(CHARGE_BATCH);
            let budget = Arc::clone(&account.budget);
            let rest = Waiting {
                budget,
                charges: rest,
            };
            waiting.insert(key.clone(), rest);
        }
        Some((key.1, account))
    }

    /// Puts costs back that could not be settled.
    fn put_back(&self, window: Window, mut account: Waiting) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::clone(&account.budget.key), window);
        if let Some(added) = waiting.remove(&key) {
            account.charges.extend(added.charges);
        }
        waiting.insert(key, account);
    }

    /// Settles costs of one account; whether the server has them.
    async fn send(&self, window: Window, account: &Waiting) -> bool {
        let Some(connection) = self.server.connection() else {
            return false;
        };
        let budget = &account.budget;
        let [hash, due] = keys(&budget.key, window);
        let mut call = self.settle.prepare_invoke();
        call.key(hash).key(due);
        call.arg(budget.local.confirmed(window));
        call.arg(window.end.saturating_mul(1000));
        for (id, cost) in &account.charges {
            call.arg(id).arg(cost);
        }
        let mut redis = connection.0.clone();
        match call.invoke_async::<Vec<u64>>(&mut redis).await {
            Ok(numbers) => {
                let totals = totals(numbers.get(2..).unwrap_or_default());
                if let Some(totals) = totals.first() {
                    budget.local.confirm(window, *totals);
                }
                true
            }
            Err(error) => {
                self.server.disconnect(&connection, &error.to_string());
                false
            }
        }
    }
}

/// Sends costs as they come, and again after an outage.
async fn settle_all(shared: Arc<Shared>) {
    loop {
        let Some((window, account)) = shared.take() else {
            shared.added.notified().await;
            continue;
        };
        if shared.send(window, &account).await {
            let count = u64::try_from(account.charges.len()).unwrap_or(u64::MAX);
            shared.unsettled.fetch_sub(count, Ordering::AcqRel);
        } else {
            shared.put_back(window, account);
            // A server that responds with errors is connected.
            let _connected =
                timeout(RETRY_PAUSE.saturating_mul(5), shared.server.connected()).await;
            tokio::time::sleep(RETRY_PAUSE).await;
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
fn keys(budget: &str, window: Window) -> [String; 2] {
    let start = window.start;
    [format!("{budget}:{start}"), format!("{budget}:{start}:due")]
}

/// Totals in a reply.
fn totals(numbers: &[u64]) -> Vec<Totals> {
    let rows = numbers.chunks_exact(2);
    rows.filter_map(|row| {
        let &[spent, held] = row.first_chunk::<2>()?;
        Some(Totals { spent, held })
    })
    .collect()
}

#[cfg(test)]
mod tests;
