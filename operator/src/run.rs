//! Runs an operator: watches, controller, background tasks and endpoints, until it is told to end.

use std::{collections::BTreeMap, future::Future, net::SocketAddr, sync::Arc, time::Duration};

use api::{names, v1alpha1::BedrockAccess};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Resource, ResourceExt,
    api::{DynamicObject, ObjectMeta},
};
use kube_runtime::{
    Controller, WatchStreamExt,
    controller::{Config, Error as ControllerError},
    events::{Recorder, Reporter},
    reflector::{self, ObjectRef, Store},
    watcher,
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{self, Context, Guarded, Memory, readiness::HttpReadiness},
    cache::{self, Cache},
    certificates::Certificates,
    children::{ChildKind, Stores, labelled, trim_pod},
    cluster_keys, deadline,
    discovery::{self, Served},
    metrics::Metrics,
    retry::Seed,
    server::{self, Ready},
    settings::Settings,
    sidecar::{self, admit::Admitter},
    webhook::{self, ServeError, Webhook},
};

/// Changes of one access within this time make one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(100);
/// Longest wait for reconciles under way at the end.
const DRAIN: Duration = Duration::from_secs(20);

/// Why an operator cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An endpoint cannot be served.
    #[error("failed to listen on {address} for {what}")]
    Listen {
        /// What was to be served.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The webhook cannot be served.
    #[error("failed to serve the webhook on {address}")]
    Webhook {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: ServeError,
    },
}

/// Runs an operator until `shutdown` resolves; reconciles under way are finished first.
///
/// # Errors
/// When an endpoint cannot be served. A cluster that does not answer is waited for.
pub async fn run(
    client: Client,
    settings: Settings,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), RunError> {
    let client = deadline::limited(client, settings.request_deadline);
    let stop = CancellationToken::new();
    let _stop_everything = stop.clone().drop_guard();
    let metrics = Arc::new(Metrics::new(settings.concurrency));
    let ready = Ready::default();
    serve(&settings, &metrics, &ready, &stop).await?;

    let seed = Seed::default();
    let keys = cluster_keys::start(
        client.clone(),
        settings.cluster_keys_refresh,
        seed.clone(),
        stop.clone(),
    )
    .await;

    let served = discovery::start(
        client.clone(),
        settings.discovery_refresh,
        seed.clone(),
        stop.clone(),
    )
    .await;

    let memory = Arc::new(Memory::default());
    let (accesses, stream, all_listed) = watch_accesses(&client, Arc::clone(&memory));
    let admitter = Admitter {
        client: client.clone(),
        accesses: accesses.clone(),
        keys: keys.clone(),
        settings: settings.clone(),
    };
    let certificates = serve_webhook(admitter, &metrics, &stop).await?;
    let controller = Controller::for_stream(stream, accesses.clone())
        .with_config(
            Config::default()
                .debounce(DEBOUNCE)
                .concurrency(settings.concurrency),
        )
        .reconcile_all_on(cluster_keys::changes(keys.clone()))
        .reconcile_all_on(discovery::changes(served.clone()));

    let (mut controller, children) = watch_children(controller, &client, &served);
    let (pods, stream) = watch_pods(&client, labelled(), names::ACCESS_LABEL, trim_pod);
    controller = controller.watches_stream(stream, |pod| owner(pod.meta()));
    let asking = watcher::Config::default().labels(names::INJECT_LABEL);
    let (sidecars, stream) = watch_pods(&client, asking, names::INJECT_LABEL, sidecar::fleet::trim);
    controller = controller.watches_stream(stream, sidecar::fleet::access_of);

    let reporter = Reporter {
        controller: names::FIELD_MANAGER.to_owned(),
        instance: Some(settings.instance.clone()),
    };
    let context = Arc::new(Context {
        stores: Stores::new(children, pods, sidecars, served),
        keys,
        readiness: Box::new(HttpReadiness::new(
            settings.gateway_admin_port,
            settings.readiness_timeout,
        )),
        recorder: Recorder::new(client.clone(), reporter.clone()),
        reporter,
        metrics,
        seed,
        memory,
        client,
        settings,
    });
    tokio::spawn(watch_readiness(
        Arc::clone(&context),
        all_listed,
        certificates,
        ready.clone(),
    ));
    tokio::spawn(forget(Arc::clone(&context), accesses, stop.clone()));

    let draining = drain_on(shutdown, ready);
    let all = controller
        .graceful_shutdown_on(draining.clone().cancelled_owned())
        .run(access::reconcile, access::error_policy, context)
        .for_each(|outcome| async move {
            // Failed reconciles are logged where they fail; here are the watches.
            if let Err(ControllerError::QueueError(error)) = outcome {
                tracing::warn!(%error, "a watch failed and is begun again; are the CRDs installed?");
            }
        });
    tokio::select! {
        () = all => tracing::info!("ended"),
        () = async { draining.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("ended with reconciles under way");
        }
    }
    Ok(())
}

/// Accesses in a cache, those that somebody else has changed, and a token that is cancelled once all are
/// listed.
fn watch_accesses(
    client: &Client,
    memory: Arc<Memory>,
) -> (
    Store<Guarded>,
    impl Stream<Item = Result<Guarded, watcher::Error>> + Send + 'static,
    CancellationToken,
) {
    let (accesses, writer) = reflector::store::<Guarded>();
    let all_listed = CancellationToken::new();
    let listed = all_listed.clone();
    let stream = watcher(
        Api::<Guarded>::all(client.clone()),
        watcher::Config::default(),
    )
    .default_backoff()
    .inspect_ok(move |event| {
        if matches!(event, watcher::Event::InitDone) {
            listed.cancel();
        }
    })
    .modify(|object| metadata(object).managed_fields = None)
    .reflect(writer)
    .applied_objects()
    .try_filter(move |access| std::future::ready(memory.is_news(access)));
    (accesses, stream, all_listed)
}

/// Pods of the whole cluster in a cache, each cut down before it is kept.
fn watch_pods(
    client: &Client,
    config: watcher::Config,
    label: &'static str,
    trim: fn(&mut Pod),
) -> (
    Cache<Pod>,
    impl Stream<Item = Result<Pod, watcher::Error>> + Send + 'static,
) {
    let writer = cache::Writer::<Pod>::new((), label);
    let cache = writer.reader();
    let watch = watcher(Api::<Pod>::all(client.clone()), config)
        .default_backoff()
        .modify(trim);
    (cache, cache::fill(watch, writer))
}

/// Watches every kind of child, each into a cache of its own.
fn watch_children(
    mut controller: Controller<Guarded>,
    client: &Client,
    served: &Served,
) -> (
    Controller<Guarded>,
    BTreeMap<ChildKind, Cache<DynamicObject>>,
) {
    let mut children = BTreeMap::new();
    for kind in ChildKind::ALL {
        let resource = kind.resource();
        let writer = cache::Writer::<DynamicObject>::new(resource.clone(), names::ACCESS_LABEL);
        children.insert(kind, writer.reader());
        let api = Api::<DynamicObject>::all_with(client.clone(), &resource);
        let watch = discovery::while_served(served.clone(), kind, move || {
            watcher(api.clone(), labelled()).default_backoff()
        });
        let stream = cache::fill(watch, writer);
        controller = controller.watches_stream_with(stream, |child| owner(child.meta()), resource);
    }
    (controller, children)
}

/// A token that is cancelled when `shutdown` is done; readiness goes off first.
fn drain_on(
    shutdown: impl Future<Output = ()> + Send + 'static,
    ready: Ready,
) -> CancellationToken {
    let draining = CancellationToken::new();
    let begin = draining.clone();
    tokio::spawn(async move {
        shutdown.await;
        tracing::info!("told to end: finishing the reconciles under way");
        ready.set(false);
        begin.cancel();
    });
    draining
}

async fn serve(
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

/// Serves the webhook, when there is to be one, and gives what its certificate is kept in.
async fn serve_webhook(
    admitter: Admitter,
    metrics: &Metrics,
    stop: &CancellationToken,
) -> Result<Option<Certificates>, RunError> {
    let Some(settings) = admitter.settings.webhook.clone() else {
        return Ok(None);
    };
    let certificates = Certificates::start(&admitter.client, &settings.certificate, stop.clone());
    let routes = webhook::routes(Webhook {
        admitter: Arc::new(admitter),
        metrics: metrics.webhook.clone(),
    });
    let address = settings.address;
    webhook::serve(
        address,
        Arc::new(certificates.clone()),
        routes,
        stop.clone(),
    )
    .await
    .map_err(|source| RunError::Webhook { address, source })?;
    Ok(Some(certificates))
}

/// Ready once every cache holds its first list, and the webhook has a certificate that is trusted.
///
/// The cache of accesses is not asked: a store wakes one waiter only, and the controller is it.
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
    if context.stores.wait_until_ready().await.is_ok() {
        tracing::info!("all caches are filled");
        ready.set(true);
    }
}

/// Now and then forgets what is remembered of objects that are gone.
async fn forget(context: Arc<Context>, accesses: Store<Guarded>, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(context.settings.resync);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let there: std::collections::HashSet<String> = accesses
            .state()
            .iter()
            .filter_map(|access| access.uid())
            .collect();
        context.memory.keep(|uid| there.contains(uid));
    }
}

fn metadata(object: &mut Guarded) -> &mut ObjectMeta {
    match &mut object.0 {
        Ok(access) => &mut access.metadata,
        Err(invalid) => &mut invalid.metadata,
    }
}

/// The access an object is labelled with. The owner reference would do for children, but not for pods,
/// and a child without its reference is one to put right.
fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<Guarded>> {
    let labelled = metadata
        .labels
        .as_ref()
        .and_then(|labels| labels.get(names::ACCESS_LABEL));
    let kind = BedrockAccess::kind(&());
    let owned = || {
        let owners = metadata.owner_references.iter().flatten();
        owners
            .filter(|owner| owner.kind == kind)
            .map(|owner| &owner.name)
            .next()
    };
    let name = labelled.or_else(owned)?;
    Some(ObjectRef::new(name).within(metadata.namespace.as_deref()?))
}
