//! The cluster's token signing keys, read from the API server and refreshed periodically.
//!
//! Gateways verify the ServiceAccount tokens of their clients with these keys and never call the API server; the
//! operator copies the keys into the gateways' configuration. Endpoints:
//! <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>.

use std::{sync::Arc, time::Duration};

use futures::Stream;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    error_chain::error_chain,
    retry::{self, Seed},
};

const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";
const KEYS_PATH: &str = "/openid/v1/jwks";

/// Issuer and public keys of the cluster's ServiceAccount tokens.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ClusterKeys {
    /// `iss` of the tokens.
    pub(crate) issuer: String,
    /// JSON Web Key Set, its keys in a stable order.
    pub(crate) jwks: Value,
}

/// The keys as last read; `None` until the first successful read.
pub(crate) type Keys = watch::Receiver<Option<Arc<ClusterKeys>>>;

/// Why the keys cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("failed to read {path} from the API server")]
    Read {
        path: &'static str,
        source: kube::Error,
    },
    #[error("failed to parse {path} from the API server")]
    Parse {
        path: &'static str,
        source: serde_json::Error,
    },
    #[error("{KEYS_PATH} of the API server contains no keys")]
    Empty,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
}

/// Reads the keys once, then repeatedly in the background until cancelled. After a failure the previous keys stay.
pub(crate) async fn start(
    client: Client,
    refresh: Duration,
    seed: Seed,
    stop: CancellationToken,
) -> Keys {
    let (sender, receiver) = watch::channel(None);
    let mut failures = publish(&client, &sender, 0).await;
    tokio::spawn(async move {
        for round in 0_u64.. {
            let jitter = seed.number(("cluster keys", round));
            let wait = if failures == 0 {
                retry::less_up_to_a_fifth(refresh, jitter)
            } else {
                retry::after_failures(failures, jitter)
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sender.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            failures = publish(&client, &sender, failures).await;
        }
    });
    receiver
}

/// Yields an item each time the keys change.
pub(crate) fn changes(keys: Keys) -> impl Stream<Item = ()> + Send + 'static {
    futures::stream::unfold(keys, |mut keys| async move {
        keys.changed().await.ok()?;
        Some(((), keys))
    })
}

/// Reads the keys and publishes them if they have changed; returns the number of consecutive failures.
async fn publish(
    client: &Client,
    sender: &watch::Sender<Option<Arc<ClusterKeys>>>,
    failures: u32,
) -> u32 {
    match read(client).await {
        Ok(keys) => {
            let changed = sender.send_if_modified(|held| {
                let differs = held.as_deref() != Some(&keys);
                if differs {
                    *held = Some(Arc::new(keys.clone()));
                }
                differs
            });
            if changed {
                tracing::info!(
                    issuer = keys.issuer,
                    "read the cluster's token signing keys"
                );
            }
            0
        }
        Err(error) => {
            tracing::warn!(
                error = error_chain(&error),
                "failed to refresh the cluster's token signing keys"
            );
            failures.saturating_add(1)
        }
    }
}

async fn read(client: &Client) -> Result<ClusterKeys, KeysError> {
    let discovery: Discovery = get(client, DISCOVERY_PATH).await?;
    let mut jwks: Value = get(client, KEYS_PATH).await?;
    let Some(keys) = jwks.get_mut("keys").and_then(Value::as_array_mut) else {
        return Err(KeysError::Empty);
    };
    if keys.is_empty() {
        return Err(KeysError::Empty);
    }
    // API servers may list the same keys in a different order; that is not a change.
    keys.sort_by_key(|key| {
        key.get("kid")
            .and_then(Value::as_str)
            .map(ToOwned::to_owned)
    });
    Ok(ClusterKeys {
        issuer: discovery.issuer,
        jwks,
    })
}

async fn get<T: serde::de::DeserializeOwned>(
    client: &Client,
    path: &'static str,
) -> Result<T, KeysError> {
    let request = http::Request::get(path)
        .body(Vec::new())
        .map_err(|error| KeysError::Read {
            path,
            source: kube::Error::HttpError(error),
        })?;
    let text = client
        .request_text(request)
        .await
        .map_err(|source| KeysError::Read { path, source })?;
    serde_json::from_str(&text).map_err(|source| KeysError::Parse { path, source })
}
