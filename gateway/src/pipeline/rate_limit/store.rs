//! Counts that several gateways share, in a Redis or Valkey server.
//!
//! One round trip for each request: a script checks the counts of the BedrockAccess and of the client, and adds the
//! request if all limits allow it. Tokens follow in the background. The server's clock applies, and each subject is
//! one key that expires. Without a response within 100 ms the gateway uses its local counters, which it always
//! updates, until the server recovers.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::config::{Rates, RedisStore};
use redis::{Pipeline, Script};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::counts::Counts;
use crate::{
    pipeline::shared_store::{KEY_PREFIX, SharedStore, StoreError, Texts, keep_connected},
    telemetry::metrics::Metrics,
};

/// Size of the queue of charges; more are dropped.
const CHARGE_QUEUE: usize = 4096;
/// Maximum number of charges in one batch.
const CHARGE_BATCH: usize = 64;
const TEXTS: Texts = Texts {
    name: "rate-limit store",
    meanwhile: "using local counters",
};
const CHECK: &str = concat!(
    include_str!("store/subject.lua"),
    include_str!("store/check.lua")
);
const CHARGE: &str = concat!(
    include_str!("store/subject.lua"),
    include_str!("store/charge.lua")
);

/// Shared counts. Dropping the store stops its tasks.
#[derive(Debug)]
pub(super) struct Store {
    server: Arc<SharedStore>,
    check: Script,
    charges: mpsc::Sender<Charge>,
    metrics: Arc<Metrics>,
    _end: DropGuard,
}

/// Tokens to add to some keys.
#[derive(Debug)]
struct Charge {
    keys: [Option<Arc<str>>; 2],
    tokens: u64,
}

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
        let (charges, queue) = mpsc::channel(CHARGE_QUEUE);
        let (check, charge) = (Script::new(CHECK), Script::new(CHARGE));
        let scripts = vec![check.clone(), charge.clone()];
        let server = Arc::new(SharedStore::new(settings, scripts, TEXTS)?);
        let end = CancellationToken::new();
        let connecting = Arc::clone(&server);
        let connecting = async move { keep_connected(&connecting).await };
        let sending = send_charges(Arc::clone(&server), charge, queue);
        // The token stops the tasks.
        drop(tokio::spawn(
            end.clone().run_until_cancelled_owned(connecting),
        ));
        drop(tokio::spawn(end.clone().run_until_cancelled_owned(sending)));
        Ok(Self {
            server,
            check,
            charges,
            metrics,
            _end: end.drop_guard(),
        })
    }

    /// Whether the store has these settings.
    pub(super) fn has_settings(&self, settings: &RedisStore) -> bool {
        self.server.has_settings(settings)
    }

    /// Whether the server is available, as of the last call.
    pub(super) fn is_up(&self) -> bool {
        self.server.is_up()
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
        let mut call = self.check.prepare_invoke();
        for (key, rates) in subjects.iter().flatten() {
            call.key(&***key);
            for limit in [
                rates.requests_per_minute,
                rates.tokens_per_minute,
                rates.tokens_per_day,
            ] {
                call.arg(limit.unwrap_or(0));
            }
        }
        let numbers: Vec<u64> = self.server.call(&call).await?;
        Decision::read(&numbers, subjects.map(|subject| subject.is_some()))
    }

    /// Adds tokens in the background.
    pub(super) fn charge(&self, keys: [Option<Arc<str>>; 2], tokens: u64) {
        // A full queue drops the charge; the local counters have it.
        let _ = self.charges.try_send(Charge { keys, tokens });
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
    /// Reads the reply of `check.lua`.
    fn read(numbers: &[u64], requested: [bool; 2]) -> Option<Self> {
        let (&[now, allowed], rest) = numbers.split_first_chunk::<2>()?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(now))?;
        let mut rows = rest.chunks_exact(5);
        let mut counts = [None, None];
        for (counts, requested) in counts.iter_mut().zip(requested) {
            if requested {
                *counts = Some(Counts::shared(at, rows.next()?.first_chunk::<5>()?));
            }
        }
        Some(Self {
            at,
            allowed: allowed == 1,
            counts,
        })
    }
}

/// Sends charges, in batches when they arrive faster than the server responds.
async fn send_charges(server: Arc<SharedStore>, script: Script, mut queue: mpsc::Receiver<Charge>) {
    let mut charges = Vec::new();
    while queue.recv_many(&mut charges, CHARGE_BATCH).await > 0 {
        let batch = std::mem::take(&mut charges);
        let Some(connection) = server.connection() else {
            continue;
        };
        let mut calls = Pipeline::with_capacity(batch.len());
        for charge in batch {
            let mut call = script.prepare_invoke();
            for key in charge.keys.iter().flatten() {
                call.key(&**key);
            }
            calls.invoke_script(call.arg(charge.tokens)).ignore();
        }
        let mut redis = connection.0.clone();
        if let Err(error) = calls.query_async::<()>(&mut redis).await {
            server.disconnect(&connection, &error.to_string());
        }
    }
}
