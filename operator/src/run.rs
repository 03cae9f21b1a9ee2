//! Runs the operator: watches, controller, background tasks and HTTP endpoints, until shutdown.

mod endpoints;

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use api::names;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Resource, ResourceExt};
use kube_runtime::{
    Controller,
    controller::{Config, Error as ControllerError},
    events::{Recorder, Reporter},
    reflector::Store,
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{self, Context, Guarded, Memory, observe::sidecars, readiness::HttpReadiness},
    admission::Reviewer,
    certificates::Certificates,
    cluster_keys::{self, Keys},
    deadline,
    discovery::{self, Served},
    leader::{Candidacy, Leadership},
    metrics::Metrics,
    owned::{Stores, labelled, trim_pod},
    policy::{NamespaceMetadata, Policies},
    poll,
    queue::Queue,
    retry::Seed,
    server::Ready,
    settings::Settings,
    share_key::ShareKey,
    sidecar::admit::Admitter,
    watches::{
        self, Items, Scope,
        requests::{ReconcileRequests, in_namespace, owner},
    },
    webhook::ServeError,
};

/// Changes of one object within this time lead to one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Longest wait for reconciles in progress on shutdown.
const DRAIN: Duration = Duration::from_secs(20);

/// Why the operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An endpoint cannot be served.
    #[error("failed to listen on {address} for {what}")]
    Listen {
        /// Name of the endpoint.
        what: &'static str,
        /// Address of the endpoint.
        address: SocketAddr,
        /// Cause.
        source: std::io::Error,
    },
    /// Another replica may be the leader now, so this one must not write any more.
    #[error("lost leadership: the Lease was not renewed in time, or another replica took it")]
    LeadershipLost,
    /// The system has no random numbers.
    #[error("failed to create the key for shares of budgets")]
    ShareKey,
    /// The webhook cannot be served.
    #[error("failed to serve the webhook on {address}")]
    Webhook {
        /// Address of the webhook.
        address: SocketAddr,
        /// Cause.
        source: ServeError,
    },
}

/// What makes all objects, or those of a namespace, reconcile again.
struct Triggers {
    keys: Keys,
    served: Served,
    policies: BoxStream<'static, ()>,
    namespaces: Items<NamespaceMetadata>,
    leadership: Leadership,
}

/// Runs the operator until `shutdown` resolves; reconciles in progress are completed first.
///
/// # Errors
/// When an endpoint cannot be served, or leadership is lost. An API server that does not respond is retried.
pub async fn run(
    client: Client,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let (share_key, settings) = with_share_key(settings)?;
    let client = deadline::limited(client, settings.request_deadline);
    let stop = CancellationToken::new();
    let _stop_everything = stop.clone().drop_guard();
    let metrics = Arc::new(Metrics::new(settings.concurrency));
    let ready = Ready::default();
    endpoints::serve(&settings, &metrics, &ready, &stop).await?;

    let seed = Seed::default();
    let candidacy = Candidacy::start(
        client.clone(),
        settings.leader_election.clone(),
        seed.clone(),
        Arc::clone(&metrics),
    );
    let (keys, served) = read_cluster(&client, &settings, &seed, &stop).await;

    let scope = Scope::new(&settings.namespaces);
    let memory = Arc::new(Memory::default());
    let (access_store, changed, all_listed) =
        watches::bedrock_access(&client, &scope, Arc::clone(&memory));
    let (policy_store, policies_changed) = watches::policies(&client);
    let (namespace_store, namespaces_relabelled) = watches::namespaces(&client, &scope);
    let policies = Policies::new(
        policy_store,
        namespace_store,
        settings.require_policy,
        settings.validation_webhook,
    );
    let admitter = Admitter {
        client: client.clone(),
        access_store: access_store.clone(),
        keys: keys.clone(),
        policies: policies.clone(),
        settings: settings.clone(),
    };
    let reviewer = Reviewer {
        client: client.clone(),
        policies: policies.clone(),
        settings: settings.clone(),
    };
    let certificates =
        endpoints::serve_webhook(admitter, reviewer, &candidacy.leadership, &metrics, &stop)
            .await?;

    metrics.watch(access_store.clone());
    let queue = Queue::new(access_store.clone(), Arc::clone(&metrics));
    let triggers = Triggers {
        keys: keys.clone(),
        served,
        policies: policies_changed.boxed(),
        namespaces: namespaces_relabelled,
        leadership: candidacy.leadership.clone(),
    };
    let config = Config::default().debounce(DEBOUNCE);
    let controller = Controller::for_stream(record(changed, &queue), access_store.clone())
        .with_config(config.concurrency(settings.concurrency));
    let requests = ReconcileRequests::new(Arc::clone(&queue));
    let (controller, stores) = watch_related(
        controller,
        &client,
        &scope,
        &requests,
        access_store.clone(),
        triggers,
    );

    let reporter = Reporter {
        controller: names::FIELD_MANAGER.to_owned(),
        instance: Some(settings.instance.clone()),
    };
    let context = Arc::new(Context {
        stores,
        policies,
        leadership: candidacy.leadership.clone(),
        keys,
        readiness: Box::new(
            HttpReadiness::new(settings.gateway_admin_port, settings.readiness_timeout)
                .signing_with(share_key),
        ),
        recorder: Recorder::new(client.clone(), reporter.clone()),
        reporter,
        metrics,
        seed,
        memory,
        queue,
        client,
        settings,
    });
    endpoints::serve_console(&context, &access_store, &all_listed, &stop).await?;
    tokio::spawn(watch_readiness(
        Arc::clone(&context),
        all_listed,
        certificates,
        ready.clone(),
    ));
    tokio::spawn(forget_deleted(
        Arc::clone(&context),
        access_store,
        stop.clone(),
    ));
    reconcile_until(drain_on(shutdown, ready), controller, context, candidacy).await
}

/// A new key for shares of budgets, and the settings with its public part.
fn with_share_key(settings: Settings) -> Result<(ShareKey, Settings), RunError> {
    let key = ShareKey::try_new().map_err(|_| RunError::ShareKey)?;
    let settings = Settings {
        share_public_key: key.public(),
        ..settings
    };
    Ok((key, settings))
}

/// Reads the cluster's token signing keys and the optional kinds that it serves, and keeps both up to date.
async fn read_cluster(
    client: &Client,
    settings: &Settings,
    seed: &Seed,
    stop: &CancellationToken,
) -> (Keys, Served) {
    let keys = poll::start(
        client.clone(),
        settings.cluster_keys_refresh,
        seed.clone(),
        stop.clone(),
        cluster_keys::publish,
    )
    .await;
    let served = poll::start(
        client.clone(),
        settings.discovery_refresh,
        seed.clone(),
        stop.clone(),
        discovery::discover,
    )
    .await;
    (keys, served)
}

/// Records each changed object in the queue.
fn record(changed: Items<Guarded>, queue: &Arc<Queue>) -> Items<Guarded> {
    let queue = Arc::clone(queue);
    changed
        .inspect_ok(move |access| queue.changed(access))
        .boxed()
}

/// Adds the triggers and the watches of owned objects and pods to a controller.
fn watch_related(
    controller: Controller<Guarded>,
    client: &Client,
    scope: &Scope,
    requests: &ReconcileRequests,
    access_store: Store<Guarded>,
    triggers: Triggers,
) -> (Controller<Guarded>, Stores) {
    let Triggers {
        keys,
        served,
        policies,
        namespaces,
        leadership,
    } = triggers;
    let controller = controller
        .trigger_backoff(watches::NoSharedBackoff)
        .reconcile_all_on(requests.all(poll::changes(keys)))
        .reconcile_all_on(requests.all(poll::changes(served.clone())))
        .reconcile_all_on(requests.all(policies))
        .reconcile_all_on(requests.all(leadership.acquired()))
        .watches_stream(namespaces, requests.each(in_namespace(access_store)));

    let (controller, owned) = watches::owned(controller, client, scope, &served, requests);
    let (pods, changed) = watches::pods(client, scope, &labelled(), names::ACCESS_LABEL, trim_pod);
    let controller =
        controller.watches_stream(changed, requests.each(|pod: Pod| owner(pod.meta())));
    let (sidecar_pods, changed) = watches::pods(
        client,
        scope,
        &watches::sidecar_pods(),
        names::INJECT_LABEL,
        sidecars::trim,
    );
    let controller = controller.watches_stream(changed, requests.each(sidecars::access_of));
    (controller, Stores::new(owned, pods, sidecar_pods, served))
}

/// Reconciles until `draining` is cancelled, and then releases the Lease.
async fn reconcile_until(
    draining: CancellationToken,
    controller: Controller<Guarded>,
    context: Arc<Context>,
    candidacy: Candidacy,
) -> Result<(), RunError> {
    let all = controller
        .graceful_shutdown_on(draining.clone().cancelled_owned())
        .run(access::reconcile, access::error_policy, context)
        .for_each(|outcome| async move {
            // A failed reconcile logs its error itself; these are errors of the watches.
            if let Err(ControllerError::QueueError(error)) = outcome {
                tracing::warn!(%error, "a watch failed; restarting it. Check that the CRDs are installed");
            }
        });
    tokio::select! {
        () = all => tracing::info!("stopped"),
        () = async { draining.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("stopped before all reconciles were completed");
        }
        // Reconciles in progress are dropped; the next leader continues from there.
        () = candidacy.lost.cancelled() => return Err(RunError::LeadershipLost),
    }
    candidacy.resign().await;
    Ok(())
}

/// A token that is cancelled when `shutdown` resolves; readiness is turned off first.
fn drain_on(
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: Ready,
) -> CancellationToken {
    let draining = CancellationToken::new();
    let begin = draining.clone();
    tokio::spawn(async move {
        shutdown.await;
        tracing::info!("received the shutdown signal; completing reconciles in progress");
        ready.set(false);
        begin.cancel();
    });
    draining
}

/// Sets readiness once every cache contains its first list and the API server trusts the webhook's certificate.
///
/// Does not wait on the store of `BedrockAccess` objects: a store wakes only one waiter, which is the controller.
async fn watch_readiness(
    context: Arc<Context>,
    all_listed: CancellationToken,
    certificates: Option<Certificates>,
    ready: Ready,
) {
    all_listed.cancelled().await;
    if let Some(certificates) = certificates {
        certificates.usable().await;
    }
    if context.policies.wait_until_ready().await.is_ok()
        && context.stores.wait_until_ready().await.is_ok()
    {
        tracing::info!("all caches are filled");
        ready.set(true);
    }
}

/// Periodically forgets what is remembered about deleted objects.
async fn forget_deleted(
    context: Arc<Context>,
    access_store: Store<Guarded>,
    stop: CancellationToken,
) {
    let mut ticks = tokio::time::interval(context.settings.resync);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let existing: std::collections::HashSet<String> = access_store
            .state()
            .iter()
            .filter_map(|access| access.uid())
            .collect();
        context.memory.retain(|uid| existing.contains(uid));
        context.queue.retain_existing();
    }
}
