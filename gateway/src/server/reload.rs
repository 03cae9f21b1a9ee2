//! Reloads the configuration when its files change: the configuration file, clients' keys, the gateway's certificate.
//!
//! Fingerprints of the files are compared every second with those from before the last read, so that no change is
//! missed. Changed files are read after two consecutive checks find the same fingerprints, so that no file is read that
//! is being written. An invalid configuration is logged and counted, the active one stays, and the same change is not tried again.

use crate::{
    config::watched_files::{self, Fingerprint},
    http::error::causes,
    pipeline::{active_config::ActiveConfig, load_error::LoadError, state::State},
};

/// Runs until the server drains.
pub(crate) async fn watch(state: State) {
    let mut rejected: Option<Vec<Fingerprint>> = None;
    let mut last: Option<Vec<Fingerprint>> = None;
    let mut ticks = tokio::time::interval(state.settings().watch_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = state.draining().cancelled() => return,
        }
        let active = state.active();
        let (shared, current) = (state.clone(), active.clone());
        let look = move || watched_files::all(shared.settings(), &current.config);
        let Ok(now) = tokio::task::spawn_blocking(look).await else {
            continue;
        };
        if now == *rejected.as_ref().unwrap_or(&active.fingerprints) {
            continue;
        }
        if last.as_ref() != Some(&now) {
            last = Some(now);
            continue;
        }
        match ActiveConfig::load(state.settings(), state.metrics(), Some(&active)).await {
            Ok(config) => {
                rejected = None;
                state.replace(config);
                state.metrics().config_reloaded(true);
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                rejected = Some(now);
                log_rejection(&state, &error);
            }
        }
    }
}

fn log_rejection(state: &State, error: &LoadError) {
    state.metrics().config_reloaded(false);
    tracing::error!(
        reason = error.reason(),
        error = causes(error),
        "invalid configuration rejected; the active configuration stays in use"
    );
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use super::*;
    use crate::config::Settings;

    #[tokio::test]
    async fn reloads_a_file_that_changed_before_the_first_check() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway.yaml");
        let write = |alias: &str| {
            let text = format!("models: [{{name: {alias}, targets: [{{modelId: a.b}}]}}]");
            std::fs::write(&path, text).unwrap();
        };
        write("old");
        let environment = [
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "AKIATEST"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
        ];
        let environment: BTreeMap<String, String> = environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let mut settings = Settings::new(Arc::new(environment));
        settings.config = Some(path.clone());
        settings.watch_interval = Duration::from_millis(10);
        let state = State::try_new(settings).await.unwrap();
        write("newer");
        let watcher = tokio::spawn(watch(state.clone()));
        let reloaded = async {
            while state.active().config.models[0].name != "newer" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), reloaded)
            .await
            .unwrap();
        watcher.abort();
    }
}
