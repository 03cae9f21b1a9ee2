//! What Bedrock lists in the gateway's region, for `/v1/models` of a gateway without a configuration file.
//!
//! The first request for the list starts a task that calls Bedrock, and waits for it for one second. Later requests get
//! the last list at once; a list that is too old is renewed in the background. Without permission to list models
//! there is no list, and `/v1/models` uses the built-in table. After any other error the last list stays in use. Requests
//! for models never wait.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use api::catalogue;
use arc_swap::ArcSwapOption;
use bedrock::Class;
use tokio::{sync::Notify, time::Instant};

use super::state::State;
use crate::upstream::listing::{self, ListError, RegionModels};

/// Age at which the list is renewed. Models appear and disappear within days.
const MAX_AGE: Duration = Duration::from_mins(10);
/// Age at which a failed listing is repeated.
const RETRY: Duration = Duration::from_mins(1);
/// How long the requests after the first one wait for the first listing, from its start.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The cached list of a process.
#[derive(Debug, Default)]
pub(crate) struct ModelList {
    last: ArcSwapOption<Listed>,
    started: ArcSwapOption<Instant>,
    running: AtomicBool,
    finished: Notify,
}

/// The result of the last listing.
#[derive(Debug)]
struct Listed {
    /// Ids that can be called, or none without a list.
    ids: Option<Arc<BTreeSet<String>>>,
    renew_at: Instant,
}

impl ModelList {
    /// Model ids and inference profile ids that Bedrock lists. `None` if the gateway has a configuration file, and while no
    /// list could be read.
    pub(crate) async fn ids(&self, state: &State) -> Option<Arc<BTreeSet<String>>> {
        if state.settings().config.is_some() {
            return None;
        }
        let finished = self.finished.notified();
        let last = self.last.load_full();
        let fresh = last
            .as_ref()
            .is_some_and(|last| Instant::now() < last.renew_at);
        if !fresh && !self.running.swap(true, Ordering::AcqRel) {
            self.started.store(Some(Arc::new(Instant::now())));
            tokio::spawn(renew(state.clone()));
        }
        if let Some(last) = last {
            return last.ids.clone();
        }
        if let Some(started) = self.started.load_full() {
            // The timeout: the built-in table, for now.
            let _elapsed = tokio::time::timeout_at(*started + FIRST_WAIT, finished).await;
        }
        self.last.load_full()?.ids.clone()
    }

    fn finish(&self, listed: Result<RegionModels, ListError>, state: &State) {
        let before = self.last.load_full().and_then(|last| last.ids.clone());
        let (ids, age) = match listed {
            Ok(found) => {
                let complete = found.note.is_none();
                let mut ids = callable(found, state);
                if !complete {
                    ids.extend(before.iter().flat_map(|ids| ids.iter().cloned()));
                }
                (Some(Arc::new(ids)), MAX_AGE)
            }
            Err(ListError::Service(error)) if error.class() == Class::AccessDenied => {
                tracing::info!(
                    error = error.name,
                    "Bedrock does not list its models for the gateway; /v1/models uses the built-in table"
                );
                (None, RETRY)
            }
            Err(error) => {
                tracing::info!(%error, "failed to list models; /v1/models uses the last list or the built-in table");
                (before, RETRY)
            }
        };
        self.last.store(Some(Arc::new(Listed {
            ids,
            renew_at: Instant::now() + age,
        })));
        self.running.store(false, Ordering::Release);
        self.finished.notify_waiters();
    }
}

async fn renew(state: State) {
    let active = state.active();
    let region = active.routes.region();
    let base = state.settings().aws_defaults().await.bedrock;
    let base = base.unwrap_or_else(|| {
        let suffix = region.partition().dns_suffix();
        format!("https://bedrock.{region}.{suffix}")
    });
    let listed =
        listing::with_gateway_credentials(state.client(), active.credentials.base(), &base, region)
            .await;
    state.model_list().finish(listed, &state);
}

/// The ids of a list. Without permission to list inference profiles, those of the built-in table are added.
fn callable(found: RegionModels, state: &State) -> BTreeSet<String> {
    let table = catalogue::builtin();
    let active = state.active();
    let mut ids = BTreeSet::new();
    for entry in found.models {
        if let Some(model) = table.model(&entry.model)
            && found.note.is_some()
        {
            ids.extend(model.ids_in(&entry.model, active.routes.region()));
        }
        ids.extend(entry.call_as);
    }
    ids
}
