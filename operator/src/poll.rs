//! State of the cluster that no watch reports: read at the start, then repeatedly in the background.

use std::time::Duration;

use futures::{Stream, future::BoxFuture, stream};
use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::retry::{self, Seed};

/// Reads a value and publishes it if it has changed. Gets the number of consecutive failures, and returns the new one.
pub(crate) type Read<T> = for<'a> fn(&'a Client, &'a watch::Sender<T>, u32) -> BoxFuture<'a, u32>;

/// Reads once, then at this interval until cancelled, and sooner after a failure.
pub(crate) async fn start<T>(
    client: Client,
    interval: Duration,
    seed: Seed,
    stop: CancellationToken,
    read: Read<T>,
) -> watch::Receiver<T>
where
    T: Default + Send + Sync + 'static,
{
    let (sender, receiver) = watch::channel(T::default());
    let mut failures = read(&client, &sender, 0).await;
    tokio::spawn(async move {
        for round in 0_u64.. {
            let jitter = seed.number((std::any::type_name::<T>(), round));
            let wait = if failures == 0 {
                retry::less_up_to_a_fifth(interval, jitter)
            } else {
                retry::after_failures(failures, jitter).min(interval)
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = sender.closed() => return,
                () = tokio::time::sleep(wait) => {}
            }
            failures = read(&client, &sender, failures).await;
        }
    });
    receiver
}

/// Yields an item each time the value changes.
pub(crate) fn changes<T>(receiver: watch::Receiver<T>) -> impl Stream<Item = ()> + Send + 'static
where
    T: Send + Sync + 'static,
{
    stream::unfold(receiver, |mut receiver| async move {
        receiver.changed().await.ok()?;
        Some(((), receiver))
    })
}
