//! Starts the HTTP endpoints of the operator and the webhook.

use std::sync::Arc;

use kube_runtime::reflector::Store;
use tokio_util::sync::CancellationToken;

use super::RunError;
use crate::{
    access::{Context, Guarded},
    admission::Reviewer,
    certificates::Certificates,
    console,
    leader::Leadership,
    metrics::Metrics,
    server::{self, Ready},
    settings::Settings,
    sidecar::admit::Admitter,
    webhook::{self, Webhook},
};

/// Serves metrics and health.
pub(super) async fn serve(
    settings: &Settings,
    metrics: &Arc<Metrics>,
    ready: &Ready,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let endpoints = [
        (
            "metrics",
            settings.metrics_address,
            server::metrics_routes(Arc::clone(metrics)),
        ),
        (
            "health",
            settings.health_address,
            server::health_routes(ready.clone()),
        ),
    ];
    for (what, address, routes) in endpoints {
        let Some(address) = address else { continue };
        server::serve(address, routes, stop.clone())
            .await
            .map_err(|source| RunError::Listen {
                what,
                address,
                source,
            })?;
    }
    Ok(())
}

/// Serves the console, if enabled.
pub(super) async fn serve_console(
    context: &Context,
    access_store: &Store<Guarded>,
    all_listed: &CancellationToken,
    stop: &CancellationToken,
) -> Result<(), RunError> {
    let Some(settings) = &context.settings.console else {
        return Ok(());
    };
    let sources = console::Sources {
        access_store: access_store.clone(),
        stores: context.stores.clone(),
        policies: context.policies.clone(),
        all_listed: all_listed.clone(),
    };
    let client = context.client.clone();
    let routes = console::routes(client, sources, &context.settings, settings);
    let address = settings.address;
    server::serve(address, routes, stop.clone())
        .await
        .map_err(|source| RunError::Listen {
            what: "the console",
            address,
            source,
        })
}

/// Serves the webhook, if enabled, and returns its certificates.
pub(super) async fn serve_webhook(
    admitter: Admitter,
    reviewer: Reviewer,
    leadership: &Leadership,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<Option<Certificates>, RunError> {
    let Some(settings) = admitter.settings.webhook.clone() else {
        return Ok(None);
    };
    let certificates = Certificates::start(
        &admitter.client,
        &settings.certificate,
        admitter.settings.validation_webhook,
        leadership.clone(),
        stop.clone(),
    );
    let routes = webhook::routes(Webhook {
        admitter: Arc::new(admitter),
        reviewer: Arc::new(reviewer),
        metrics: metrics.webhook.clone(),
    });
    let address = settings.address;
    webhook::serve(
        &settings,
        Arc::new(certificates.clone()),
        routes,
        stop.clone(),
    )
    .await
    .map_err(|source| RunError::Webhook { address, source })?;
    Ok(Some(certificates))
}
