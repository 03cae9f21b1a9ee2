//! Counts that several gateways share, in a Redis or Valkey server.
//!
//! One round trip for each request: a script checks the counts of the BedrockAccess and of the client, and adds the
//! request if all limits allow it. Tokens follow in the background. The server's clock applies, and each subject is
//! one key that expires. Without a response within 100 ms the gateway uses its local counters, which it always
//! updates, until the server recovers.

mod login;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::config::{Rates, RedisStore};
use arc_swap::ArcSwapOption;
use redis::{
    AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError, Script,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::counts::Counts;
use crate::telemetry::metrics::Metrics;

/// Time for which a request waits for the server.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);
/// Timeout of connections and of background calls.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Size of the queue of charges; more are dropped.
const CHARGE_QUEUE: usize = 4096;
/// Maximum number of charges in one batch.
const CHARGE_BATCH: usize = 64;
/// Prefix of all keys.
const KEY_PREFIX: &str = "bedrockaccess";
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
    settings: RedisStore,
    shared: Arc<Shared>,
    _end: DropGuard,
}

#[derive(Debug)]
struct Shared {
    info: ConnectionInfo,
    credentials: Option<PathBuf>,
    /// None while the server is unavailable.
    connection: ArcSwapOption<Connection>,
    /// Notified when the connection is lost.
    lost: Notify,
    check: Script,
    charge: Script,
    charges: mpsc::Sender<Charge>,
    metrics: Arc<Metrics>,
}

/// A connection. Its address in memory identifies it.
struct Connection(MultiplexedConnection);

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

/// The configured URL is invalid.
#[derive(Debug, thiserror::Error)]
#[error("invalid limits.store.redis.url")]
pub struct StoreError(#[from] RedisError);

impl Store {
    /// A store that connects in the background; until then it is unavailable.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(super) fn start(settings: &RedisStore, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let (charges, queue) = mpsc::channel(CHARGE_QUEUE);
        let shared = Arc::new(Shared {
            info: settings.url.as_str().into_connection_info()?,
            credentials: settings.credentials_directory.as_ref().map(PathBuf::from),
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            check: Script::new(CHECK),
            charge: Script::new(CHARGE),
            charges,
            metrics,
        });
        let end = CancellationToken::new();
        let connecting = keep_connected(Arc::clone(&shared));
        let sending = send_charges(Arc::clone(&shared), queue);
        // The token stops the tasks.
        drop(tokio::spawn(
            end.clone().run_until_cancelled_owned(connecting),
        ));
        drop(tokio::spawn(end.clone().run_until_cancelled_owned(sending)));
        Ok(Self {
            settings: settings.clone(),
            shared,
            _end: end.drop_guard(),
        })
    }

    /// Whether the store has these settings.
    pub(super) fn has_settings(&self, settings: &RedisStore) -> bool {
        self.settings == *settings
    }

    /// Whether the server is available, as of the last call.
    pub(super) fn is_up(&self) -> bool {
        self.shared.connection.load().is_some()
    }

    /// Checks the limits of the subjects and counts an allowed request; `None` if the server is unavailable.
    pub(super) async fn check(
        &self,
        subjects: [Option<(&Arc<str>, &Rates)>; 2],
    ) -> Option<Decision> {
        let decision = self.call(subjects).await;
        if decision.is_none() {
            self.shared.metrics.limit_store_fallback();
        }
        decision
    }

    async fn call(&self, subjects: [Option<(&Arc<str>, &Rates)>; 2]) -> Option<Decision> {
        let connection = self.shared.connection.load_full()?;
        let mut call = self.shared.check.prepare_invoke();
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
        let mut redis = connection.0.clone();
        let numbers = timeout(RESPONSE_TIMEOUT, call.invoke_async::<Vec<u64>>(&mut redis));
        match numbers.await {
            Ok(Ok(numbers)) => Decision::read(&numbers, subjects.map(|subject| subject.is_some())),
            Ok(Err(error)) => {
                self.shared.disconnect(&connection, &error.to_string());
                None
            }
            Err(_elapsed) => {
                self.shared.disconnect(&connection, "no response in time");
                None
            }
        }
    }

    /// Adds tokens in the background.
    pub(super) fn charge(&self, keys: [Option<Arc<str>>; 2], tokens: u64) {
        // A full queue drops the charge; the local counters have it.
        let _ = self.shared.charges.try_send(Charge { keys, tokens });
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

impl Shared {
    /// Gives up a failed connection. Logged once for each outage.
    fn disconnect(&self, failed: &Arc<Connection>, error: &str) {
        let current = self.connection.load();
        if !current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, failed))
        {
            return;
        }
        if self.connection.swap(None).is_some() {
            tracing::warn!(
                server = %self.info.addr(),
                error,
                "rate-limit store unavailable; using local counters until it recovers"
            );
        }
        self.lost.notify_one();
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        let client = login::client(&self.info, self.credentials.as_deref()).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(BACKGROUND_TIMEOUT))
            // Requests have a shorter timeout of their own.
            .set_response_timeout(Some(BACKGROUND_TIMEOUT));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        for script in [&self.check, &self.charge] {
            script.prepare_invoke().load_async(&mut connection).await?;
        }
        Ok(Connection(connection))
    }
}

/// Connects, and reconnects when the connection is lost.
async fn keep_connected(shared: Arc<Shared>) {
    let mut logged = false;
    loop {
        match shared.connect().await {
            Ok(connection) => {
                shared.connection.store(Some(Arc::new(connection)));
                tracing::info!(server = %shared.info.addr(), "rate-limit store connected");
                logged = true;
                shared.lost.notified().await;
            }
            Err(error) => {
                if !logged {
                    tracing::warn!(
                        server = %shared.info.addr(),
                        error = %error,
                        "unable to connect to the rate-limit store; using local counters until it is available"
                    );
                    logged = true;
                }
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Sends charges, in batches when they arrive faster than the server responds.
async fn send_charges(shared: Arc<Shared>, mut queue: mpsc::Receiver<Charge>) {
    let mut charges = Vec::new();
    while queue.recv_many(&mut charges, CHARGE_BATCH).await > 0 {
        let batch = std::mem::take(&mut charges);
        let Some(connection) = shared.connection.load_full() else {
            continue;
        };
        let mut calls = Pipeline::with_capacity(batch.len());
        for charge in batch {
            let mut call = shared.charge.prepare_invoke();
            for key in charge.keys.iter().flatten() {
                call.key(&**key);
            }
            calls.invoke_script(call.arg(charge.tokens)).ignore();
        }
        let mut redis = connection.0.clone();
        if let Err(error) = calls.query_async::<()>(&mut redis).await {
            shared.disconnect(&connection, &error.to_string());
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
