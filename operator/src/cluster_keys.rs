//! The cluster's token signing keys, read from the API server and refreshed periodically.
//!
//! Gateways verify the ServiceAccount tokens of their clients with these keys and never call the API server; the
//! operator copies the keys into the gateways' configuration. Endpoints:
//! <https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery>.

use std::sync::Arc;

use futures::future::BoxFuture;
use kube::Client;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::watch;

use crate::error_chain::error_chain;

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

/// Reads the keys and publishes them if they have changed, see [`crate::poll`].
pub(crate) fn publish<'a>(
    client: &'a Client,
    sender: &'a watch::Sender<Option<Arc<ClusterKeys>>>,
    failures: u32,
) -> BoxFuture<'a, u32> {
    Box::pin(async move {
        let keys = match read(client).await {
            Ok(keys) => keys,
            Err(error) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "failed to refresh the cluster's token signing keys"
                );
                return failures.saturating_add(1);
            }
        };
        let issuer = keys.issuer.clone();
        let changed = sender.send_if_modified(|held| {
            let differs = held.as_deref() != Some(&keys);
            if differs {
                *held = Some(Arc::new(keys));
            }
            differs
        });
        if changed {
            tracing::info!(issuer, "read the cluster's token signing keys");
        }
        0
    })
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
        .map_err(kube::Error::HttpError)
        .map_err(|source| KeysError::Read { path, source })?;
    let text = client
        .request_text(request)
        .await
        .map_err(|source| KeysError::Read { path, source })?;
    serde_json::from_str(&text).map_err(|source| KeysError::Parse { path, source })
}
