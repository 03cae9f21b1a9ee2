//! A watch with its initial list, streamed object by object if the API server supports it, otherwise in pages.
//!
//! A streamed list needs memory for only one object at a time on both sides
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists>). API servers that do not support
//! it, or have it disabled, reject the request as invalid; this watch then lists in pages.

use std::{fmt::Debug, time::Duration};

use futures::{Stream, StreamExt};
use kube::{Api, Resource};
use kube_runtime::{
    WatchStreamExt,
    utils::Backoff,
    watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;

/// Objects per page; a whole page is parsed at once.
const PAGE: u32 = 100;

/// No delay after an error of a watch: each watch delays its own restart ([`listed`]). The default of a controller delays
/// the events of all watches after an error of any, and longer with each error: ten watches that expire together, as after
/// a restart of the API server, stopped it for more than a minute.
#[derive(Debug)]
pub(crate) struct NoSharedBackoff;

impl Iterator for NoSharedBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(Duration::ZERO)
    }
}

impl Backoff for NoSharedBackoff {
    fn reset(&mut self) {}
}

/// Watches the objects that `config` selects, and restarts with backoff after a failure.
pub(super) fn listed<K>(
    api: Api<K>,
    config: watcher::Config,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let paged = watcher(api.clone(), config.clone().page_size(PAGE)).default_backoff();
    watcher(api, config.streaming_lists())
        .default_backoff()
        .take_while(|item| {
            let unsupported = item.as_ref().is_err_and(is_unsupported);
            if unsupported {
                tracing::info!(
                    kind = std::any::type_name::<K>(),
                    "the API server does not support streaming lists; listing in pages"
                );
            }
            std::future::ready(!unsupported)
        })
        .chain(paged)
}

fn is_unsupported(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if [400, 422].contains(&status.code))
}
