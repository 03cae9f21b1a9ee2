//! Runs an operator: watches, controller, background tasks and endpoints, until it is told to end.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use api::{names, v1alpha1::BedrockAccess};
use futures::{Stream, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::Pod;
use kube::{Client, Resource, ResourceExt, api::ObjectMeta};
use kube_runtime::{
    Controller,
    controller::{Config, Error as ControllerError},
    events::{Recorder, Reporter},
    reflector::{ObjectRef, Store},
};
use tokio_util::sync::CancellationToken;

use crate::{
    access::{self, Context, Guarded, Memory, readiness::HttpReadiness},
    admission::Reviewer,
    certificates::Certificates,
    children::{Stores, labelled, trim_pod},
    cluster_keys, deadline, discovery, heap,
    leader::{Candidacy, Leadership},
    metrics::Metrics,
    policy::{NamespaceMetadata, Policies},
    queue::Queue,
    retry::Seed,
    server::{self, Ready},
    settings::Settings,
    sidecar::{self, admit::Admitter},
    watches::{self, Scope},
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
    /// Another replica may lead by now, so this one must not write any more.
    #[error("lost the Lease: it was not renewed in time, or taken by somebody else")]
    LeadershipLost,
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
/// When an endpoint cannot be served, or the Lease is lost. A cluster that does not answer is waited for.
#[expect(
    clippy::too_many_lines,
    reason = "the wiring of the whole process, in the order in which it starts"
)]
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
    let candidacy = match settings.leader_election.clone() {
        Some(election) => {
            Candidacy::start(client.clone(), election, seed.clone(), Arc::clone(&metrics))
        }
        None => Candidacy::unopposed(&metrics),
    };
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

    let scope = Scope::new(&settings.namespaces);
    let memory = Arc::new(Memory::default());
    let (accesses, stream, all_listed) = watches::accesses(&client, &scope, Arc::clone(&memory));
    let (policies, policies_changed) = watches::policies(&client);
    let (namespaces, relabelled) = watches::namespaces(&client, &scope);
    let policies = Policies::new(policies, namespaces, settings.require_policy);
    let admitter = Admitter {
        client: client.clone(),
        accesses: accesses.clone(),
        keys: keys.clone(),
        policies: policies.clone(),
        settings: settings.clone(),
    };
    let reviewer = Reviewer {
        client: client.clone(),
        policies: policies.clone(),
        settings: settings.clone(),
    };
    let queue = Queue::new(accesses.clone(), Arc::clone(&metrics));
    let stream = stream.inspect_ok({
        let queue = Arc::clone(&queue);
        move |access| queue.changed(access)
    });
    let asks = Asks(Arc::clone(&queue));
    let certificates =
        serve_webhook(admitter, reviewer, &candidacy.leadership, &metrics, &stop).await?;
    let controller = Controller::for_stream(stream, accesses.clone())
        .with_config(
            Config::default()
                .debounce(DEBOUNCE)
                .concurrency(settings.concurrency),
        )
        .reconcile_all_on(asks.all(cluster_keys::changes(keys.clone())))
        .reconcile_all_on(asks.all(discovery::changes(served.clone())))
        .reconcile_all_on(asks.all(policies_changed))
        .reconcile_all_on(asks.all(candidacy.leadership.won()))
        .watches_stream(relabelled, asks.each(accesses_in(accesses.clone())));

    let (mut controller, children) = watches::children(controller, &client, &scope, &served, &asks);
    let (pods, stream) = watches::pods(&client, &scope, &labelled(), names::ACCESS_LABEL, trim_pod);
    controller = controller.watches_stream(stream, asks.each(|pod: Pod| owner(pod.meta())));
    let (sidecars, stream) = watches::pods(
        &client,
        &scope,
        &watches::asking(),
        names::INJECT_LABEL,
        sidecar::fleet::trim,
    );
    controller = controller.watches_stream(stream, asks.each(sidecar::fleet::access_of));

    let reporter = Reporter {
        controller: names::FIELD_MANAGER.to_owned(),
        instance: Some(settings.instance.clone()),
    };
    let context = Arc::new(Context {
        stores: Stores::new(children, pods, sidecars, served),
        policies,
        leadership: candidacy.leadership.clone(),
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
        queue,
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
        // What is under way is dropped where it stands: the next leader goes on from there.
        () = candidacy.lost.cancelled() => return Err(RunError::LeadershipLost),
    }
    candidacy.resign().await;
    Ok(())
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
        ("profiles", settings.pprof_address, heap::routes()),
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
        admitter.settings.validate_accesses,
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
    if context.policies.wait_until_ready().await.is_ok()
        && context.stores.wait_until_ready().await.is_ok()
    {
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
        context.queue.keep_those_there();
    }
}

/// Sees what is asked for on its way to the controller.
pub(crate) struct Asks(Arc<Queue>);

impl Asks {
    /// Signals that ask for every access.
    fn all<S>(&self, signals: S) -> impl Stream<Item = ()> + Send + 'static
    where
        S: Stream<Item = ()> + Send + 'static,
    {
        let queue = Arc::clone(&self.0);
        signals.inspect(move |()| queue.add_all())
    }

    /// What finds the accesses that an object asks for.
    pub(crate) fn each<K, I>(
        &self,
        accesses: impl Fn(K) -> I + Send + Sync + 'static,
    ) -> impl Fn(K) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static
    where
        I: IntoIterator<Item = ObjectRef<Guarded>>,
    {
        let queue = Arc::clone(&self.0);
        move |object| {
            let asked = accesses(object).into_iter();
            asked.inspect(|access| queue.add(access)).collect()
        }
    }
}

/// The accesses of a namespace: its labels decide which policies are for them.
fn accesses_in(
    accesses: Store<Guarded>,
) -> impl Fn(NamespaceMetadata) -> Vec<ObjectRef<Guarded>> + Send + Sync + 'static {
    move |namespace| {
        let name = namespace.metadata.name;
        accesses
            .state_filter(|access| access.namespace() == name)
            .iter()
            .map(|access| ObjectRef::from_obj(access.as_ref()))
            .collect()
    }
}

/// The access an object is labelled with. The owner reference would do for children, but not for pods,
/// and a child without its reference is one to put right.
pub(crate) fn owner(metadata: &ObjectMeta) -> Option<ObjectRef<Guarded>> {
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
