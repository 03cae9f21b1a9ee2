//! Time when each BedrockAccess became ready.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context, Result, bail};
use api::v1alpha1::BedrockAccess;
use futures::StreamExt;
use kube::{
    Api, Client, ResourceExt,
    api::{ApiResource, DynamicObject},
};
use kube_runtime::{WatchStreamExt, watcher};
use tokio::{sync::watch, time::Instant};

/// Times by namespace and name.
pub(super) struct Watched(watch::Receiver<Moments>);

/// All ready objects, and the time of the last one.
#[derive(Clone, Debug, Default)]
pub(super) struct Moments {
    pub(super) at: HashMap<String, Instant>,
    last: Option<Instant>,
}

impl Watched {
    /// Runs until the process ends.
    pub(super) fn start(client: Client) -> Self {
        let (sender, receiver) = watch::channel(Moments::default());
        let api: Api<DynamicObject> = Api::all_with(client, &resource());
        let watch = watcher(api, watcher::Config::default())
            .default_backoff()
            .applied_objects();
        let ready = watch.filter_map(|access| std::future::ready(access.ok().filter(is_ready)));
        tokio::spawn(ready.for_each(move |access| {
            let name = name(&access.namespace().unwrap_or_default(), &access.name_any());
            sender.send_modify(|moments| {
                let now = Instant::now();
                moments.at.entry(name).or_insert_with(|| {
                    moments.last = Some(now);
                    now
                });
            });
            std::future::ready(())
        }));
        Self(receiver)
    }

    /// Waits until this number of objects is ready.
    ///
    /// # Errors
    /// When they are not ready in time.
    pub(super) async fn wait_for(&self, count: usize, timeout: Duration) -> Result<Moments> {
        let mut receiver = self.0.clone();
        let enough = receiver.wait_for(|moments| moments.at.len() >= count);
        if let Ok(Ok(moments)) = tokio::time::timeout(timeout, enough).await {
            return Ok(moments.clone());
        }
        let ready = self.0.borrow().at.len();
        bail!("{ready} of {count} objects are ready after {timeout:?}")
    }
}

impl Moments {
    /// Time when the last object became ready.
    ///
    /// # Errors
    /// When no object is ready.
    pub(super) fn last(&self) -> Result<Instant> {
        self.last.context("no object is ready")
    }
}

/// The kind, as objects of any shape.
pub(super) fn resource() -> ApiResource {
    ApiResource::erase::<BedrockAccess>(&())
}

/// Name of the object with this number.
pub(super) fn name(namespace: &str, name: &str) -> String {
    format!("{namespace}/{name}")
}

fn is_ready(access: &DynamicObject) -> bool {
    let conditions = access.data.pointer("/status/conditions");
    let mut conditions = conditions
        .and_then(|conditions| conditions.as_array())
        .into_iter()
        .flatten();
    conditions.any(|one| {
        one.get("type").is_some_and(|kind| kind == "Ready")
            && one.get("status").is_some_and(|status| status == "True")
    })
}
