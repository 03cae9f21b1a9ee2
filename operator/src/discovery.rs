//! Which of the optional kinds the cluster serves.
//!
//! Discovery runs at the start and again every few minutes, since the Prometheus operator may be installed or removed
//! later. If discovery fails, the previous result stays and the request is retried soon.

use std::collections::BTreeSet;

use futures::{Stream, StreamExt, future::BoxFuture, stream};
use kube::Client;
use tokio::sync::watch;

use crate::owned::OwnedKind;

/// The optional kinds that are served now.
pub(crate) type Served = watch::Receiver<BTreeSet<OwnedKind>>;

/// Runs the stream that `make` returns while the kind is served, and starts a new one whenever the kind returns.
pub(crate) fn while_served<S, F>(
    served: Served,
    kind: OwnedKind,
    make: F,
) -> impl Stream<Item = S::Item> + Send + 'static
where
    S: Stream + Send + 'static,
    F: Fn() -> S + Send + 'static,
{
    stream::unfold((served, make), move |(mut served, make)| async move {
        if kind.is_optional() {
            served.wait_for(|kinds| kinds.contains(&kind)).await.ok()?;
        }
        let mut until = served.clone();
        let gone = async move {
            // The sender is dropped only on shutdown; the other branch ends the stream then.
            if kind.is_optional() && until.wait_for(|kinds| !kinds.contains(&kind)).await.is_ok() {
                return;
            }
            futures::future::pending::<()>().await;
        };
        Some((make().take_until(gone), (served, make)))
    })
    .flatten()
}

/// Runs discovery and publishes a changed result, see [`crate::poll`].
pub(crate) fn discover<'a>(
    client: &'a Client,
    sender: &'a watch::Sender<BTreeSet<OwnedKind>>,
    failures: u32,
) -> BoxFuture<'a, u32> {
    Box::pin(async move {
        let mut failed = 0;
        for kind in OwnedKind::ALL.into_iter().filter(|kind| kind.is_optional()) {
            let resource = kind.resource();
            let is_served = match client.list_api_group_resources(&resource.api_version).await {
                Ok(list) => list
                    .resources
                    .iter()
                    .any(|found| found.kind == resource.kind),
                Err(kube::Error::Api(status)) if status.code == 404 => false,
                Err(error) => {
                    tracing::warn!(%error, %kind, "failed to discover whether the cluster serves the kind");
                    failed = failures.saturating_add(1);
                    continue;
                }
            };
            let changed = sender.send_if_modified(|kinds| {
                if is_served {
                    kinds.insert(kind)
                } else {
                    kinds.remove(&kind)
                }
            });
            if changed {
                tracing::info!(%kind, is_served, "discovery result changed");
            }
        }
        failed
    })
}
