//! A connection to the Redis or Valkey server that gateways share, kept up in the background.
//!
//! No request waits longer than 100 ms for the server. After an error the connection counts as lost until another one is
//! made, so that an outage delays few requests.

pub(super) mod calls;
mod login;
pub(super) mod recent;

use std::{path::PathBuf, sync::Arc, time::Duration};

use api::config::RedisStore;
use arc_swap::ArcSwapOption;
use redis::{
    AsyncConnectionConfig, ConnectionInfo, IntoConnectionInfo, RedisError, Script,
    aio::MultiplexedConnection,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

/// Time for which a request waits for the server.
const RESPONSE_TIMEOUT: Duration = Duration::from_millis(100);
/// Timeout of connections and of background calls.
const BACKGROUND_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between attempts to connect.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Prefix of all keys.
pub(super) const KEY_PREFIX: &str = "bedrockaccess";

/// A server and the connection to it.
#[derive(Debug)]
pub(super) struct SharedStore {
    settings: RedisStore,
    info: ConnectionInfo,
    credentials: Option<PathBuf>,
    /// None while the server is unavailable.
    connection: ArcSwapOption<Connection>,
    /// Notified when the connection is lost.
    lost: Notify,
    /// Loaded by each connection.
    script: Script,
    texts: Texts,
}

/// What the log calls the server, and what happens while it is unavailable.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texts {
    pub(super) name: &'static str,
    pub(super) meanwhile: &'static str,
}

/// A connection. Its address in memory identifies it.
pub(super) struct Connection(pub(super) MultiplexedConnection);

/// The configured URL is invalid.
#[derive(Debug, thiserror::Error)]
#[error("invalid limits.store.redis.url")]
pub struct StoreError(#[from] RedisError);

impl SharedStore {
    /// A server without a connection: [`keep_connected`] makes it.
    ///
    /// # Errors
    /// When the URL is invalid.
    pub(super) fn new(
        settings: &RedisStore,
        script: Script,
        texts: Texts,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            settings: settings.clone(),
            info: settings.url.as_str().into_connection_info()?,
            credentials: settings.credentials_directory.as_ref().map(PathBuf::from),
            connection: ArcSwapOption::empty(),
            lost: Notify::new(),
            script,
            texts,
        })
    }

    /// Whether the server has these settings.
    pub(super) fn has_settings(&self, settings: &RedisStore) -> bool {
        self.settings == *settings
    }

    /// Whether the server is available, as of the last call.
    pub(super) fn is_up(&self) -> bool {
        self.connection.load().is_some()
    }

    /// The connection, if the server is available.
    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.connection.load_full()
    }

    /// Gives up a failed connection. Logged once for each outage.
    pub(super) fn disconnect(&self, failed: &Arc<Connection>, error: &str) {
        let current = self.connection.load();
        if !current
            .as_ref()
            .is_some_and(|current| Arc::ptr_eq(current, failed))
        {
            return;
        }
        if self.connection.swap(None).is_some() {
            let Texts { name, meanwhile } = self.texts;
            tracing::warn!(
                server = %self.info.addr(),
                error,
                "{name} unavailable; {meanwhile} until it recovers"
            );
        }
        self.lost.notify_one();
    }

    async fn connect(&self) -> Result<Connection, RedisError> {
        let client = login::client(&self.info, self.credentials.as_deref()).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(BACKGROUND_TIMEOUT))
            // Calls have timeouts of their own.
            .set_response_timeout(None);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&config)
            .await?;
        let script = self.script.prepare_invoke();
        timeout(BACKGROUND_TIMEOUT, script.load_async(&mut connection))
            .await
            .map_err(std::io::Error::from)??;
        Ok(Connection(connection))
    }
}

/// Connects, and reconnects when the connection is lost.
pub(super) async fn keep_connected(store: &SharedStore) {
    let Texts { name, meanwhile } = store.texts;
    let mut logged = false;
    loop {
        match store.connect().await {
            Ok(connection) => {
                store.connection.store(Some(Arc::new(connection)));
                tracing::info!(server = %store.info.addr(), "{name} connected");
                logged = true;
                store.lost.notified().await;
            }
            Err(error) => {
                if !logged {
                    tracing::warn!(
                        server = %store.info.addr(),
                        error = %error,
                        "unable to connect to the {name}; {meanwhile} until it is available"
                    );
                    logged = true;
                }
                sleep(RETRY_PAUSE).await;
            }
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}
