//! A watch with all that is there before it, streamed object by object where the API server can do that, and in pages
//! where it cannot.
//!
//! A streamed list takes memory for one object at a time on both sides
//! (<https://kubernetes.io/docs/reference/using-api/api-concepts/#streaming-lists>). API servers that do not know it,
//! or have it turned off, call the request invalid: from then on this watch lists in pages.

use std::fmt::Debug;

use futures::{Stream, StreamExt};
use kube::{Api, Resource};
use kube_runtime::{
    WatchStreamExt,
    watcher::{self, Event, watcher},
};
use serde::de::DeserializeOwned;

/// Objects of a page: a whole page is taken apart at once.
const PAGE: u32 = 100;

/// Watches what `config` selects, and begins again with a growing wait after a failure.
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
            let cannot = item.as_ref().is_err_and(is_not_known);
            if cannot {
                tracing::info!(
                    kind = std::any::type_name::<K>(),
                    "the API server streams no lists: they come in pages"
                );
            }
            std::future::ready(!cannot)
        })
        .chain(paged)
}

fn is_not_known(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if [400, 422].contains(&status.code))
}
