//! Takes over changed files: the configuration document, clients' keys and the gateway's own certificate.
//!
//! Files are looked at every second or so, and compared with what they were before they were read (`files`), so that no
//! change falls between a reading and a look. A change is read, compiled and put in force as a whole; one that does not
//! compile is refused, said in the log and a metric, and the old one stays. What changed is tried once.

use crate::{
    config::{watched_files as files, watched_files::Mark},
    http::error::causes,
    pipeline::active_config::{Live, LoadError},
    server::router::State,
};

/// Runs until the server ends.
pub(crate) async fn watch(state: State) {
    let mut refused: Option<Vec<Mark>> = None;
    let mut ticks = tokio::time::interval(state.settings().watch_interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = state.draining().cancelled() => return,
        }
        let live = state.live();
        let settings = state.settings();
        let now = files::document(settings).into_iter();
        let now: Vec<Mark> = now.chain(files::named(settings, &live.config)).collect();
        if now == *refused.as_ref().unwrap_or(&live.marks) {
            continue;
        }
        match Live::load(settings, &state.metrics(), Some(&live)).await {
            Ok(live) => {
                refused = None;
                state.replace(live);
                state.metrics().config_reloaded(true);
                tracing::info!("configuration reloaded");
            }
            Err(error) => {
                refused = Some(now);
                told(&state, &error);
            }
        }
    }
}

fn told(state: &State, error: &LoadError) {
    state.metrics().config_reloaded(false);
    tracing::error!(
        reason = error.reason(),
        error = causes(error),
        "the changed configuration is refused, the one before stays in force"
    );
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Duration};

    use super::*;
    use crate::config::Settings;

    #[tokio::test]
    async fn document_that_changed_before_the_first_look_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("gateway.yaml");
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
        let taken = async {
            while state.live().config.models[0].name != "newer" {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_mins(1), taken)
            .await
            .unwrap();
        watcher.abort();
    }
}
