//! Counts that several gateways share, in a Redis or Valkey server.
//!
//! One call for each request, sent together with those of other requests: a script checks the counts of the BedrockAccess
//! and of the client, and adds the request if all limits allow it. Tokens follow with a later call. The server's clock
//! applies, and each subject is one key that expires. Without a response within 100 ms the gateway uses its local
//! counters, which it always updates, until the server recovers.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use api::config::{Rates, RedisStore};
use tokio::task::JoinSet;

use super::counts::Counts;
use crate::{
    pipeline::shared_store::{
        KEY_PREFIX, StoreError, Texts,
        calls::{Background, Batch, Row, Shared},
    },
    telemetry::metrics::Metrics,
};

/// Subjects with waiting tokens; the tokens of more are dropped.
const MAX_CHARGES: usize = 4096;
const TEXTS: Texts = Texts {
    name: "rate-limit store",
    meanwhile: "using local counters",
};

/// Shared counts. Dropping the store stops its tasks.
#[derive(Debug)]
pub(super) struct Store {
    shared: Arc<Shared<Charges>>,
    metrics: Arc<Metrics>,
    _tasks: JoinSet<()>,
}

/// Tokens of finished requests, by the key of their subject.
#[derive(Debug, Default)]
struct Charges(Mutex<Vec<(Arc<str>, u64)>>);

/// The server's decision about a request.
#[derive(Debug)]
pub(super) struct Decision {
    pub(super) at: SystemTime,
    /// Whether the request is allowed and was added to the counts.
    pub(super) allowed: bool,
    /// The counts of each subject of the call, including an allowed request.
    pub(super) counts: [Option<Counts>; 2],
}

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

    /// Checks the limits of the subjects and counts an allowed request; `None` if the server is unavailable.
    pub(super) async fn check(
        &self,
        subjects: [Option<(&Arc<str>, &Rates)>; 2],
    ) -> Option<Decision> {
        let decision = self.call(subjects).await;
        if decision.is_none() {
            self.metrics.limit_store_fallback();
        }
        decision
    }

    async fn call(&self, subjects: [Option<(&Arc<str>, &Rates)>; 2]) -> Option<Decision> {
        if !self.is_up() {
            return None;
        }
        let row = self.shared.calls.call(|keys, words| {
            words.name(b'c');
            words.number(subjects.iter().flatten().map(|_| 1).sum());
            for (key, rates) in subjects.iter().flatten() {
                words.number(keys.place([*key]));
                for limit in [
                    rates.requests_per_minute,
                    rates.tokens_per_minute,
                    rates.tokens_per_day,
                ] {
                    words.number(limit.unwrap_or(0));
                }
            }
        });
        Decision::read(&row.await?, subjects.map(|subject| subject.is_some()))
    }

    /// Adds tokens in the background.
    pub(super) fn charge(&self, keys: &[Option<Arc<str>>; 2], tokens: u64) {
        // The local counters have what is lost.
        if self.is_up() && self.shared.background.add(keys, tokens) {
            self.shared.calls.added();
        }
    }
}

impl Charges {
    fn lock(&self) -> MutexGuard<'_, Vec<(Arc<str>, u64)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds tokens of a finished request; whether nothing waited before.
    fn add(&self, keys: &[Option<Arc<str>>; 2], tokens: u64) -> bool {
        let mut charges = self.lock();
        let is_first = charges.is_empty();
        for key in keys.iter().flatten() {
            if let Some((_, sum)) = charges.iter_mut().find(|(of, _)| Arc::ptr_eq(of, key)) {
                *sum = sum.saturating_add(tokens);
            } else if charges.len() < MAX_CHARGES {
                charges.push((Arc::clone(key), tokens));
            }
        }
        is_first
    }
}

impl Background for Charges {
    type Sent = usize;

    fn is_waiting(&self) -> bool {
        !self.lock().is_empty()
    }

    fn take(&self, batch: &mut Batch) -> Option<usize> {
        let charges = std::mem::take(&mut *self.lock());
        let (mut keys, words) = batch.parts();
        for (key, tokens) in &charges {
            words.name(b't');
            words.number(keys.place([key]));
            words.number(*tokens);
        }
        (!charges.is_empty()).then_some(charges.len())
    }

    fn end<R: Iterator<Item = Row>>(&self, sent: usize, rows: Option<&mut R>) {
        // What is lost is lost: the local counters have it.
        let rows = rows.map(|rows| rows.take(sent));
        let _responses = rows.map(Iterator::count);
    }
}

/// The key of a subject. The part in braces keeps the keys of a BedrockAccess in one slot of a cluster.
pub(super) fn key(access: &str, client: Option<&str>) -> Arc<str> {
    match client {
        None => format!("{KEY_PREFIX}:{{{access}}}:access").into(),
        Some(client) => format!("{KEY_PREFIX}:{{{access}}}:client:{client}").into(),
    }
}

impl Decision {
    /// Reads the reply of `limits.lua`.
    fn read(row: &Row, requested: [bool; 2]) -> Option<Self> {
        let mut numbers = row.numbers();
        let now = Duration::from_millis(numbers.next()?);
        let at = SystemTime::UNIX_EPOCH.checked_add(now)?;
        let allowed = numbers.next()? == 1;
        let mut counts = [None, None];
        for (counts, requested) in counts.iter_mut().zip(requested) {
            if requested {
                let mut of_subject = [0; 5];
                for count in &mut of_subject {
                    *count = numbers.next()?;
                }
                *counts = Some(Counts::shared(at, &of_subject));
            }
        }
        Some(Self {
            at,
            allowed,
            counts,
        })
    }
}
