//! Takes over changed files: the configuration document, clients' keys and the gateway's own certificate.
//!
//! Files are looked at every second or so by their real path, time and length, which also shows the
//! kubelet's swap of a link. A change is read, compiled and put in force as a whole; one that does not
//! compile is refused, said in the log and a metric, and the old one stays. What changed is tried once.

use std::{
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    app::State,
    authenticate::key_files,
    error::causes,
    live::{self, Live, LoadError},
};

/// What shows that a file is another one than before.
type Mark = (PathBuf, Option<SystemTime>, u64);

/// Runs until the server ends.
pub(crate) async fn watch(state: State) {
    let mut seen = marks(&state);
    let mut ticks = tokio::time::interval(state.settings().watch_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = state.draining().cancelled() => return,
        }
        let now = marks(&state);
        if now == seen {
            continue;
        }
        // Taken before reading: a change during the reading is seen the next time.
        seen = now;
        match reload(&state).await {
            Ok(()) => {
                state.metrics().config_reloaded(true);
                tracing::info!("configuration reloaded");
                // The new document may name other files.
                seen = marks(&state);
            }
            Err(error) => {
                state.metrics().config_reloaded(false);
                tracing::error!(
                    reason = error.reason(),
                    error = causes(&error),
                    "the changed configuration is refused, the one before stays in force"
                );
            }
        }
    }
}

async fn reload(state: &State) -> Result<(), LoadError> {
    let settings = state.settings();
    let document = live::read_document(settings)?;
    let previous = state.live();
    let live = Live::compile(settings, document, &state.metrics(), Some(&previous)).await?;
    state.replace(live);
    Ok(())
}

/// Marks of all files that matter now.
fn marks(state: &State) -> Vec<Mark> {
    let settings = state.settings();
    let live = state.live();
    let mut marks = Vec::new();
    if let Some(path) = &settings.config {
        marks.push(mark(path));
    }
    marks.extend(
        live::certificate_files(&live.config)
            .iter()
            .map(|file| mark(file)),
    );
    for path in live::key_sources(settings, &live.config) {
        marks.push(mark(&path));
        if path.is_dir() {
            let files = key_files(&path).unwrap_or_default();
            marks.extend(files.iter().map(|file| mark(file)));
        }
    }
    marks
}

fn mark(path: &Path) -> Mark {
    let real = path.canonicalize().unwrap_or_default();
    let metadata = path.metadata().ok();
    (
        real,
        metadata.as_ref().and_then(|data| data.modified().ok()),
        metadata.map_or(0, |data| data.len()),
    )
}
