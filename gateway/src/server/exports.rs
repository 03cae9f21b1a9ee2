//! Exports of metrics to an OpenTelemetry collector: at intervals, and once more at shutdown.

use std::time::Duration;

use exposition::Format;
use tokio::time::{sleep, timeout};

use super::admin::page;
use crate::{pipeline::state::State, telemetry::otlp::MetricsExport};

/// Time of the last export; a pod has five seconds after its drain.
const LAST_TIMEOUT: Duration = Duration::from_secs(3);

/// Exports metrics at intervals, until it is dropped; ends at once without a collector.
pub(super) async fn run(state: State) {
    let Some(export) = &state.settings().metrics_export else {
        return;
    };
    loop {
        sleep(export.interval()).await;
        send(&state, export).await;
    }
}

/// Exports the metrics at the end.
pub(super) async fn last(state: &State) {
    if let Some(export) = &state.settings().metrics_export
        && timeout(LAST_TIMEOUT, send(state, export)).await.is_err()
    {
        tracing::warn!("failed to export the last metrics");
    }
}

async fn send(state: &State, export: &MetricsExport) {
    let page = page(state, Format::OpenMetrics);
    export.export(&page, state.now()).await;
}
