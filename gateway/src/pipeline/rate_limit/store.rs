//! Counts that several gateways share, in a Redis or Valkey server.
//!
//! The server counts requests and adds tokens. For a busy gateway, it counts some requests in advance. Its clock applies, and
//! each subject is one key that expires. Without a response within 100 ms, the gateway uses its own counts, which it always
//! updates, until the server recovers.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::config::RedisStore;
use tokio::{task::JoinSet, time::Instant};

use super::{
    Quota,
    counts::Counts,
    shared_counts::{Ask, Counted},
};
use crate::{
    pipeline::shared_store::{
        KEY_PREFIX, StoreError, Texts,
        calls::{Book, Call, Reply, Row, Shared},
    },
    telemetry::metrics::Metrics,
};

const TEXTS: Texts = Texts {
    name: "rate-limit store",
    meanwhile: "using local counters",
};

/// Shared counts. Dropping the store stops its tasks.
#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared<Queue>>,
    metrics: Arc<Metrics>,
    _tasks: JoinSet<()>,
}

/// Subjects with counts for the server.
#[derive(Debug, Default)]
struct Queue(Mutex<Vec<Arc<Quota>>>);

impl Store {
    /// A store that connects in the background; until then it is unavailable.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(super) fn start(settings: &RedisStore, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let (shared, tasks) = Shared::start(settings, include_str!("store/limits.lua"), TEXTS)?;
        Ok(Self {
            shared,
            metrics,
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

    /// Queues a subject that has reported that it must be queued. It is sent in the background.
    pub(super) fn queue(&self, quota: &Arc<Quota>) {
        if self.shared.book.add(Arc::clone(quota)) {
            self.shared.added();
        }
    }

    /// Sends queued subjects now and waits. Returns whether the server has responded.
    pub(super) async fn call(&self) -> bool {
        self.shared.call().await
    }

    /// Counts a request without a response of the server.
    pub(super) fn unavailable(&self) {
        self.metrics.limit_store_fallback();
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Quota>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Queues a subject. Returns whether nothing was queued before.
    fn add(&self, quota: Arc<Quota>) -> bool {
        let mut queue = self.lock();
        queue.push(quota);
        queue.len() == 1
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for quota in self.lock().drain(..) {
            quota.counter.counts().shared.left_queue();
        }
    }
}

impl Book for Queue {
    type Sent = Vec<(Arc<Quota>, Instant)>;

    fn is_waiting(&self) -> bool {
        !self.lock().is_empty()
    }

    fn write(&self, call: &mut Call) -> Self::Sent {
        let queue = std::mem::take(&mut *self.lock());
        let now = Instant::now();
        let asked = queue.into_iter().filter_map(|quota| {
            let ask = quota.counter.counts().shared.ask(&quota.rates, now)?;
            quota.write(&ask, call)?;
            Some((quota, now))
        });
        asked.collect()
    }

    fn adopt(&self, sent: Self::Sent, mut reply: Option<Reply>) {
        let mut row = || reply.as_mut()?.next_row();
        let at = row().and_then(|row| time(&row));
        for (quota, asked) in sent {
            let row = row();
            let counted = at.and_then(|at| counted(&row?, at));
            if quota.counter.counts().shared.adopt(asked, counted) {
                self.add(quota);
            }
        }
    }

    fn renew(&self) {
        // The server forgets nothing that is needed.
    }
}

impl Quota {
    /// Adds what is asked to a call; none without a key.
    fn write(&self, ask: &Ask, call: &mut Call) -> Option<()> {
        call.place([self.key.as_ref()?]);
        for limit in [
            self.rates.requests_per_minute,
            self.rates.tokens_per_minute,
            self.rates.tokens_per_day,
        ] {
            call.number(limit.unwrap_or(0));
        }
        for number in [ask.tokens, ask.returned, ask.minute, ask.waiting, ask.spare] {
            call.number(number);
        }
        Some(())
    }
}

/// The key of a subject. The part in braces keeps the keys of a BedrockAccess in one slot of a cluster.
pub(super) fn key(access: &str, client: Option<&str>) -> Arc<str> {
    match client {
        None => format!("{KEY_PREFIX}:{{{access}}}:access").into(),
        Some(client) => format!("{KEY_PREFIX}:{{{access}}}:client:{client}").into(),
    }
}

/// The line with the server's time.
fn time(row: &Row) -> Option<u64> {
    row.numbers().next()
}

/// The line of a subject.
fn counted(row: &Row, at: u64) -> Option<Counted> {
    let mut numbers = row.numbers();
    let granted = numbers.next()?;
    let mut counts = [0; 5];
    for count in &mut counts {
        *count = numbers.next()?;
    }
    Some(Counted {
        at,
        granted,
        counts: Counts::shared(at, &counts),
    })
}
