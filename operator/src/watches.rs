//! The watches, each with its own cache, for the whole cluster or for some namespaces.
//!
//! Each watch removes unneeded parts of objects before they are cached. `run.rs` connects the watches to the
//! controller.

mod listed;
pub(crate) mod merge;
pub(crate) mod requests;
mod scope;

use std::{collections::BTreeMap, mem, sync::Arc};

use api::{names, v1alpha1::policy::BedrockAccessPolicy};
use futures::{Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, Resource,
    api::DynamicObject,
    core::{DeserializeGuard, PartialObjectMeta},
};
use kube_runtime::{
    Controller, PredicateConfig, WatchStreamExt, predicates,
    reflector::{self, Store},
    watcher::{self, Event},
};
use tokio_util::sync::CancellationToken;

pub(crate) use listed::NoSharedBackoff;
use listed::listed;
use requests::{ReconcileRequests, owner};
pub(crate) use scope::Scope;

use crate::{
    access::{Guarded, Memory},
    cache::{self, Cache},
    discovery::{self, Served},
    owned::{OwnedKind, OwnedObject, labelled},
    policy::{self, GuardedPolicy, NamespaceMetadata},
};

/// Items of a watch.
pub(crate) type Items<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// A cache of `BedrockAccess` objects, a stream of those changed by others, and a token that is cancelled once all are
/// listed.
pub(crate) fn bedrock_access(
    client: &Client,
    scope: &Scope,
    memory: Arc<Memory>,
) -> (Store<Guarded>, Items<Guarded>, CancellationToken) {
    let (access_store, writer) = reflector::store::<Guarded>();
    let all_listed = CancellationToken::new();
    let filled = all_listed.clone();
    let watches = scope.each(|namespace| {
        let api: Api<Guarded> = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        listed(api, watcher::Config::default())
            .modify(|object| object.meta_mut().managed_fields = None)
    });
    let watch = merge::merged(watches).inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            filled.cancel();
        }
    });
    let stream = applied(watch.reflect(writer), access_store.clone())
        .try_filter(move |access| future::ready(memory.is_external_change(access)))
        .map_ok(Arc::unwrap_or_clone);
    (access_store, stream.boxed(), all_listed)
}

/// Existing objects, each yielded once the cache contains it: objects of a list when the list is complete. An earlier
/// reconcile would not find the object, and no event would request another one.
fn applied<K>(
    watch: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    cache: Store<K>,
) -> impl Stream<Item = watcher::Result<Arc<K>>> + Send + 'static
where
    K: Resource<DynamicType = ()> + Clone + Send + Sync + 'static,
{
    watch.flat_map(move |event| {
        futures::stream::iter(match event {
            Ok(Event::Apply(object)) => vec![Ok(Arc::new(object))],
            Ok(Event::InitDone) => cache.state().into_iter().map(Ok).collect(),
            Ok(Event::Init | Event::InitApply(_) | Event::Delete(_)) => Vec::new(),
            Err(error) => vec![Err(error)],
        })
    })
}

/// A cache of pods, each trimmed before it is cached, and a stream of changed pods.
pub(crate) fn pods(
    client: &Client,
    scope: &Scope,
    config: &watcher::Config,
    label: &'static str,
    trim: fn(&mut Pod),
) -> (Cache<Pod>, Items<Pod>) {
    let writer = cache::Writer::<Pod>::new((), label);
    let cache = writer.reader();
    let watches = scope.each(|namespace| {
        let api: Api<Pod> = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        listed(api, config.clone()).modify(trim)
    });
    (cache, cache::fill(merge::merged(watches), writer).boxed())
}

/// Watches every kind of owned objects, each with its own cache.
pub(crate) fn owned(
    mut controller: Controller<Guarded>,
    client: &Client,
    scope: &Scope,
    served: &Served,
    requests: &ReconcileRequests,
) -> (Controller<Guarded>, BTreeMap<OwnedKind, Cache<OwnedObject>>) {
    let mut owned = BTreeMap::new();
    for kind in OwnedKind::ALL {
        let resource = kind.resource();
        let writer = cache::Writer::<OwnedObject>::new(resource.clone(), names::ACCESS_LABEL);
        owned.insert(kind, writer.reader());
        let (client, scope, api_resource) = (client.clone(), scope.clone(), resource.clone());
        let watch = discovery::while_served(served.clone(), kind, move || {
            let watches = scope.each(|namespace| {
                let api = match namespace {
                    Some(namespace) => {
                        Api::namespaced_with(client.clone(), namespace, &api_resource)
                    }
                    None => Api::all_with(client.clone(), &api_resource),
                };
                packed(listed::<DynamicObject>(api, labelled()))
            });
            merge::merged(watches)
        });
        let changed = cache::fill(watch, writer).map_ok(OwnedObject::outline);
        let whose = requests.each(|owned: DynamicObject| owner(&owned.metadata));
        controller = controller.watches_stream_with(changed, whose, resource);
    }
    (controller, owned)
}

/// Converts the objects of a watch to the form in which they are cached.
fn packed(
    watch: impl Stream<Item = Result<Event<DynamicObject>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<Event<OwnedObject>, watcher::Error>> + Send + 'static {
    watch.map_ok(|event| match event {
        Event::Apply(object) => Event::Apply(OwnedObject::pack(&object)),
        Event::Delete(object) => Event::Delete(OwnedObject::pack(&object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(OwnedObject::pack(&object)),
        Event::InitDone => Event::InitDone,
    })
}

/// A cache of policies, and an item for each policy that was added, changed or deleted.
pub(crate) fn policies(
    client: &Client,
) -> (
    Store<GuardedPolicy>,
    impl Stream<Item = ()> + Send + 'static,
) {
    let (store, writer) = reflector::store::<DeserializeGuard<BedrockAccessPolicy>>();
    let watch = listed(
        Api::<GuardedPolicy>::all(client.clone()),
        watcher::Config::default(),
    );
    let watch = empty_if_not_served(watch)
        .modify(policy::trim_policy)
        .reflect(writer)
        .inspect_err(|error| {
            tracing::warn!(%error, "the watch of policies failed; restarting it");
        });
    (store, changes(watch))
}

/// An item for each change that a watch reports, and one for every list except the first. Readers wait for the first
/// list, and only a list shows which objects were deleted while the watch was interrupted.
fn changes<K: Send + 'static>(
    watch: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
) -> impl Stream<Item = ()> + Send + 'static {
    let mut listed = false;
    watch.filter_map(move |event| {
        let changed = match event {
            Ok(Event::Apply(_) | Event::Delete(_)) => true,
            Ok(Event::InitDone) => mem::replace(&mut listed, true),
            Ok(Event::Init | Event::InitApply(_)) | Err(_) => false,
        };
        future::ready(changed.then_some(()))
    })
}

/// A cache of namespaces, metadata only, and a stream of those whose labels have changed.
pub(crate) fn namespaces(
    client: &Client,
    scope: &Scope,
) -> (Store<NamespaceMetadata>, Items<NamespaceMetadata>) {
    let (store, writer) = reflector::store::<PartialObjectMeta<Namespace>>();
    let watches = scope.each(|namespace| {
        let config = watcher::Config::default();
        let config = match namespace {
            Some(name) => config.fields(&format!("metadata.name={name}")),
            None => config,
        };
        listed(Api::<NamespaceMetadata>::all(client.clone()), config).modify(policy::trim_namespace)
    });
    let stream = applied(merge::merged(watches).reflect(writer), store.clone())
        .map_ok(Arc::unwrap_or_clone)
        .predicate_filter(predicates::labels, PredicateConfig::default());
    (store, stream.boxed())
}

/// If the CRDs are older than this operator, the cluster serves no policies. This counts as an empty list and is logged
/// once. If the API disappears after the first list, the known policies stay.
fn empty_if_not_served<K: Send + 'static>(
    watch: impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static {
    let mut listed = false;
    watch.flat_map(move |event| {
        listed |= matches!(event, Ok(Event::InitDone));
        let missing = !listed && event.as_ref().is_err_and(not_served);
        listed |= missing;
        let mut events = vec![event];
        if missing {
            events.extend([Ok(Event::Init), Ok(Event::InitDone)]);
        }
        futures::stream::iter(events)
    })
}

fn not_served(error: &watcher::Error) -> bool {
    let (watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error)) =
        error
    else {
        return false;
    };
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Selects pods with the sidecar label.
pub(crate) fn sidecar_pods() -> watcher::Config {
    watcher::Config::default().labels(names::INJECT_LABEL)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use kube::core::Status;

    use super::*;

    fn failure(code: u16) -> watcher::Error {
        let status = Status::failure("no", "reason").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    async fn items(events: Vec<Result<Event<()>, watcher::Error>>) -> Vec<&'static str> {
        empty_if_not_served(futures::stream::iter(events))
            .map(|event| match event {
                Ok(Event::Init) => "init",
                Ok(Event::InitDone) => "done",
                Ok(_) => "object",
                Err(_) => "error",
            })
            .collect()
            .await
    }

    #[tokio::test]
    async fn api_that_is_not_served_is_an_empty_list_but_other_failures_are_not() {
        assert_eq!(
            items(vec![Err(failure(404))]).await,
            ["error", "init", "done"]
        );
        assert_eq!(items(vec![Err(failure(403))]).await, ["error"]);
        assert_eq!(items(vec![Err(failure(500))]).await, ["error"]);
        let again = vec![Err(failure(404)), Err(failure(404))];
        assert_eq!(items(again).await, ["error", "init", "done", "error"]);
    }

    #[tokio::test]
    async fn changes_and_later_lists_yield_one_item_each() {
        let events = [
            (Event::Init, 0),
            (Event::InitApply(()), 0),
            (Event::InitDone, 0),
            (Event::Apply(()), 1),
            (Event::Delete(()), 1),
            // The watch restarts: objects deleted in the meantime are not in the list.
            (Event::Init, 0),
            (Event::InitApply(()), 0),
            (Event::InitDone, 1),
        ];
        let (feed, watch) = futures::channel::mpsc::unbounded();
        let mut changes = Box::pin(changes(watch));
        for (event, times) in events {
            feed.unbounded_send(Ok(event)).unwrap();
            let mut count = 0;
            while changes.next().now_or_never().is_some() {
                count += 1;
            }
            assert_eq!(count, times);
        }
    }

    #[tokio::test]
    async fn listed_object_is_yielded_when_the_cache_contains_it() {
        let access = |name: &str| {
            let mut access = crate::fixtures::access("");
            access.metadata.name = Some(name.to_owned());
            DeserializeGuard(Ok(access))
        };
        let (cache, writer) = reflector::store::<Guarded>();
        let events = vec![
            Event::Init,
            Event::InitApply(access("first")),
            Event::InitDone,
            Event::Apply(access("second")),
            // The watch restarts.
            Event::Init,
            Event::InitApply(access("first")),
            Event::InitApply(access("third")),
            Event::InitDone,
        ];
        let watch = futures::stream::iter(events.into_iter().map(Ok)).reflect(writer);
        let mut yielded = Box::pin(applied(watch, cache.clone()));
        let mut names = Vec::new();
        while let Some(object) = yielded.try_next().await.unwrap() {
            let reference = reflector::ObjectRef::from_obj(object.as_ref());
            assert!(cache.get(&reference).is_some(), "{reference} is not cached");
            names.push(reference.name);
        }
        names[2..].sort();
        assert_eq!(names, ["first", "second", "first", "third"]);
    }

    #[tokio::test]
    async fn known_objects_stay_if_the_api_disappears_after_a_list() {
        let events = vec![Ok(Event::Init), Ok(Event::InitDone), Err(failure(404))];
        assert_eq!(items(events).await, ["init", "done", "error"]);
    }
}
