//! Counts that several gateways share, in a server of Redis or Valkey.
//!
//! One round trip a request: a script looks at the counts of the access and of the client, and adds the request where
//! all limits allow it. Tokens follow in the background. The server's clock is the one that counts, and each holder is
//! one key that ends by itself. Where there is no answer in a moment, nobody waits for one: the gateway's own counts,
//! which go on all the while, hold until the server is back.

mod login;

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use api::config::{Rates, RedisStore};
use arc_swap::ArcSwapOption;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, IntoConnectionInfo, Pipeline, RedisError,
    aio::MultiplexedConnection, cmd,
};
use tokio::{
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::counts::Counts;
use crate::telemetry::metrics::Metrics;

/// How long a request waits for the server.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(100);
/// How long the background waits, for a connection or for tokens to be taken.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two tries to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Charges that wait to be sent; more are dropped, as while the server is away.
const WAITING_CHARGES: usize = 4096;
/// Charges that are sent at once.
const CHARGES_AT_ONCE: usize = 64;
/// How every key begins.
const KEY_PREFIX: &str = "bedrockaccess";
const TAKE: &str = concat!(
    include_str!("store/holder.lua"),
    include_str!("store/take.lua")
);
const CHARGE: &str = concat!(
    include_str!("store/holder.lua"),
    include_str!("store/charge.lua")
);

/// Shared counts. Dropping it ends its tasks.
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
    /// None while the server does not answer.
    link: ArcSwapOption<Link>,
    /// The link is gone, or to go.
    broken: Notify,
    charges: mpsc::Sender<Charge>,
    metrics: Arc<Metrics>,
}

/// A connection on which the scripts are known.
struct Link {
    connection: MultiplexedConnection,
    take: String,
    charge: String,
}

/// Tokens for some keys.
#[derive(Debug)]
struct Charge {
    keys: [Option<Arc<str>>; 2],
    tokens: u64,
}

/// What the server said of a request.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) at: SystemTime,
    /// Whether it was added to the counts.
    pub(super) free: bool,
    /// Of each holder that was asked about, with the request where it was added.
    pub(super) counts: [Option<Counts>; 2],
}

/// The configuration's address cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("limits.store.redis.url is not usable")]
pub struct StoreError(#[from] RedisError);

impl Store {
    /// A store that connects in the background; until it has, it does not answer.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub(super) fn start(settings: &RedisStore, metrics: Arc<Metrics>) -> Result<Self, StoreError> {
        let (charges, waiting) = mpsc::channel(WAITING_CHARGES);
        let shared = Arc::new(Shared {
            info: settings.url.as_str().into_connection_info()?,
            credentials: settings.credentials_directory.as_ref().map(PathBuf::from),
            link: ArcSwapOption::empty(),
            broken: Notify::new(),
            charges,
            metrics,
        });
        let end = CancellationToken::new();
        // They end with the token, and nobody waits for them.
        drop(tokio::spawn(until(&end, keep(Arc::clone(&shared)))));
        let sending = send_charges(Arc::clone(&shared), waiting);
        drop(tokio::spawn(until(&end, sending)));
        Ok(Self {
            settings: settings.clone(),
            shared,
            _end: end.drop_guard(),
        })
    }

    /// Whether this is the store of these settings.
    pub(super) fn is_of(&self, settings: &RedisStore) -> bool {
        self.settings == *settings
    }

    /// Whether the server answers, as far as is known.
    pub(super) fn is_up(&self) -> bool {
        self.shared.link.load().is_some()
    }

    /// Takes a request where all limits of its holders allow it; `None` where the server does not say.
    pub(super) async fn take(&self, holders: [Option<(&Arc<str>, &Rates)>; 2]) -> Option<Taken> {
        let answer = self.ask(holders).await;
        if answer.is_none() {
            self.shared.metrics.limit_store_fallback();
        }
        answer
    }

    async fn ask(&self, holders: [Option<(&Arc<str>, &Rates)>; 2]) -> Option<Taken> {
        let link = self.shared.link.load_full()?;
        let mut call = evaluate(&link.take, holders.iter().flatten().map(|(key, _)| &***key));
        for (_, rates) in holders.iter().flatten() {
            for limit in [
                rates.requests_per_minute,
                rates.tokens_per_minute,
                rates.tokens_per_day,
            ] {
                call.arg(limit.unwrap_or(0));
            }
        }
        let mut connection = link.connection.clone();
        let answer = timeout(
            ANSWER_TIMEOUT,
            call.query_async::<Vec<u64>>(&mut connection),
        );
        match answer.await {
            Ok(Ok(numbers)) => Taken::read(&numbers, holders.map(|holder| holder.is_some())),
            Ok(Err(error)) => {
                self.shared.lost(&link, &error.to_string());
                None
            }
            Err(_elapsed) => {
                self.shared.lost(&link, "it did not answer in time");
                None
            }
        }
    }

    /// Adds tokens in the background.
    pub(super) fn charge(&self, keys: [Option<Arc<str>>; 2], tokens: u64) {
        // Nobody waits for the server, and what it misses is in the gateway's own counts.
        let _ = self.shared.charges.try_send(Charge { keys, tokens });
    }
}

/// The key of a holder. What is in braces keeps the keys of an access together on a server of several.
pub(super) fn key(access: &str, client: Option<&str>) -> Arc<str> {
    match client {
        None => format!("{KEY_PREFIX}:{{{access}}}:access").into(),
        Some(client) => format!("{KEY_PREFIX}:{{{access}}}:client:{client}").into(),
    }
}

impl Taken {
    /// Reads what `take.lua` gives.
    fn read(numbers: &[u64], asked: [bool; 2]) -> Option<Self> {
        let (&[now, free], rest) = numbers.split_first_chunk::<2>()?;
        let at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(now))?;
        let mut rows = rest.chunks_exact(5);
        let mut counts = [None, None];
        for (counts, asked) in counts.iter_mut().zip(asked) {
            if asked {
                *counts = Some(Counts::shared(at, rows.next()?.first_chunk::<5>()?));
            }
        }
        Some(Self {
            at,
            free: free == 1,
            counts,
        })
    }
}

impl Shared {
    /// A link does not answer: nobody is to ask on it any more. Said once an outage.
    fn lost(&self, link: &Arc<Link>, why: &str) {
        let current = self.link.load();
        if !current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, link))
        {
            return;
        }
        let before = self.link.swap(None);
        if before.is_some() {
            tracing::warn!(
                server = %self.info.addr(),
                error = why,
                "the store of the limits does not answer, this gateway counts by itself until it does"
            );
        }
        self.broken.notify_one();
    }

    async fn connect(&self) -> Result<Link, RedisError> {
        let client = login::client(&self.info, self.credentials.as_deref()).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(BACKGROUND_TIMEOUT))
            // Each call has its own.
            .set_response_timeout(Some(BACKGROUND_TIMEOUT));
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let mut load = async |script: &str| {
            let mut load = cmd("SCRIPT");
            load.arg("LOAD").arg(script);
            load.query_async::<String>(&mut connection).await
        };
        Ok(Link {
            take: load(TAKE).await?,
            charge: load(CHARGE).await?,
            connection,
        })
    }
}

/// Connects, and again whenever the link is gone.
async fn keep(shared: Arc<Shared>) {
    let mut said = false;
    loop {
        match shared.connect().await {
            Ok(link) => {
                shared.link.store(Some(Arc::new(link)));
                tracing::info!(server = %shared.info.addr(), "the store of the limits answers");
                said = true;
                shared.broken.notified().await;
            }
            Err(error) => {
                if !said {
                    tracing::warn!(
                        server = %shared.info.addr(),
                        error = %error,
                        "unable to reach the store of the limits, this gateway counts by itself until it answers"
                    );
                    said = true;
                }
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

/// Sends what is charged, several at once where they come faster than the server answers.
async fn send_charges(shared: Arc<Shared>, mut waiting: mpsc::Receiver<Charge>) {
    let mut charges = Vec::new();
    while waiting.recv_many(&mut charges, CHARGES_AT_ONCE).await > 0 {
        let taken = std::mem::take(&mut charges);
        let Some(link) = shared.link.load_full() else {
            continue;
        };
        let mut calls = Pipeline::with_capacity(taken.len());
        for charge in taken {
            let mut call = evaluate(&link.charge, charge.keys.iter().flatten().map(|key| &**key));
            call.arg(charge.tokens);
            calls.add_command(call).ignore();
        }
        let mut connection = link.connection.clone();
        if let Err(error) = calls.query_async::<()>(&mut connection).await {
            shared.lost(&link, &error.to_string());
        }
    }
}

fn until<F>(end: &CancellationToken, task: F) -> impl Future<Output = ()> + use<F>
where
    F: Future<Output = ()>,
{
    let end = end.clone();
    async move {
        end.run_until_cancelled(task).await;
    }
}

fn evaluate<'a>(script: &str, keys: impl Iterator<Item = &'a str> + Clone) -> Cmd {
    let mut call = cmd("EVALSHA");
    call.arg(script).arg(keys.clone().count());
    for key in keys {
        call.arg(key);
    }
    call
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link").finish_non_exhaustive()
    }
}
