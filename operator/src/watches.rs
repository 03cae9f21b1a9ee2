//! What is watched, each into a cache of its own, and where: in the whole cluster or in some namespaces.
//!
//! Each watch cuts objects down to what is looked at before they are kept. What becomes of a change is the business
//! of `run.rs`.

mod listed;
pub(crate) mod merge;
mod scope;

use std::{collections::BTreeMap, mem, sync::Arc};

use api::{names, v1alpha1::policy::BedrockAccessPolicy};
use futures::{Stream, StreamExt, TryStreamExt, future, stream::BoxStream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::{
    Api, Client, Resource,
    api::{DynamicObject, ObjectMeta},
    core::{DeserializeGuard, PartialObjectMeta},
};
use kube_runtime::{
    Controller, PredicateConfig, WatchStreamExt, predicates,
    reflector::{self, Store},
    watcher::{self, Event},
};
use tokio_util::sync::CancellationToken;

use listed::listed;
pub(crate) use scope::Scope;

use crate::{
    access::{Guarded, Memory},
    cache::{self, Cache},
    children::{Child, ChildKind, labelled},
    discovery::{self, Served},
    policy::{self, GuardedPolicy, NamespaceMetadata},
    run::{Asks, owner},
};

/// Items of a watch.
type Items<K> = BoxStream<'static, Result<K, watcher::Error>>;

/// Accesses in a cache, those that somebody else has changed, and a token that is cancelled once all are listed.
pub(crate) fn accesses(
    client: &Client,
    scope: &Scope,
    memory: Arc<Memory>,
) -> (Store<Guarded>, Items<Guarded>, CancellationToken) {
    let (accesses, writer) = reflector::store::<Guarded>();
    let all_listed = CancellationToken::new();
    let filled = all_listed.clone();
    let watches = scope.each(|namespace| {
        let api: Api<Guarded> = match namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::all(client.clone()),
        };
        listed(api, watcher::Config::default())
            .modify(|object| metadata(object).managed_fields = None)
    });
    let watch = merge::merged(watches).inspect_ok(move |event| {
        if matches!(event, Event::InitDone) {
            filled.cancel();
        }
    });
    let stream = applied(watch.reflect(writer), accesses.clone())
        .try_filter(move |access| future::ready(memory.is_news(access)))
        .map_ok(Arc::unwrap_or_clone);
    (accesses, stream.boxed(), all_listed)
}

/// Objects that are there, each told once the cache has it: those of a list when it is complete. A reconcile that
/// begins before finds nothing, and nobody asks for it again.
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

/// Pods in a cache, each cut down before it is kept.
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

/// Watches every kind of child, each into a cache of its own.
pub(crate) fn children(
    mut controller: Controller<Guarded>,
    client: &Client,
    scope: &Scope,
    served: &Served,
    asks: &Asks,
) -> (Controller<Guarded>, BTreeMap<ChildKind, Cache<Child>>) {
    let mut children = BTreeMap::new();
    for kind in ChildKind::ALL {
        let resource = kind.resource();
        let writer = cache::Writer::<Child>::new(resource.clone(), names::ACCESS_LABEL);
        children.insert(kind, writer.reader());
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
        let changed = cache::fill(watch, writer).map_ok(Child::outline);
        let whose = asks.each(|child: DynamicObject| owner(&child.metadata));
        controller = controller.watches_stream_with(changed, whose, resource);
    }
    (controller, children)
}

/// What a watch tells, in the form in which it is kept.
fn packed(
    watch: impl Stream<Item = Result<Event<DynamicObject>, watcher::Error>> + Send + 'static,
) -> impl Stream<Item = Result<Event<Child>, watcher::Error>> + Send + 'static {
    watch.map_ok(|event| match event {
        Event::Apply(object) => Event::Apply(Child::pack(&object)),
        Event::Delete(object) => Event::Delete(Child::pack(&object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(Child::pack(&object)),
        Event::InitDone => Event::InitDone,
    })
}

/// Policies in a cache, and an item for each that came, changed or went.
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
    let watch = none_where_not_served(watch)
        .modify(policy::trim_policy)
        .reflect(writer)
        .inspect_err(|error| {
            tracing::warn!(%error, "the watch of policies failed and is begun again");
        });
    (store, changes(watch))
}

/// An item for each change of what a watch has told, and one for every list but the first: whoever looks waits
/// for that one, and of what went while the watch was away only the list tells.
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

/// Namespaces in a cache, metadata only, and those whose labels have changed.
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

/// A cluster whose definitions are older than this operator serves no policies, so there are none, and that is
/// told once. Once there was a list, an API that is gone keeps what was known.
fn none_where_not_served<K: Send + 'static>(
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

fn metadata(object: &mut Guarded) -> &mut ObjectMeta {
    match &mut object.0 {
        Ok(access) => &mut access.metadata,
        Err(invalid) => &mut invalid.metadata,
    }
}

/// What asks for a sidecar.
pub(crate) fn asking() -> watcher::Config {
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

    async fn seen(events: Vec<Result<Event<()>, watcher::Error>>) -> Vec<&'static str> {
        none_where_not_served(futures::stream::iter(events))
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
    async fn api_that_is_not_served_is_an_empty_list_and_other_failures_are_none() {
        assert_eq!(
            seen(vec![Err(failure(404))]).await,
            ["error", "init", "done"]
        );
        assert_eq!(seen(vec![Err(failure(403))]).await, ["error"]);
        assert_eq!(seen(vec![Err(failure(500))]).await, ["error"]);
        let again = vec![Err(failure(404)), Err(failure(404))];
        assert_eq!(seen(again).await, ["error", "init", "done", "error"]);
    }

    #[tokio::test]
    async fn change_is_told_once_and_a_later_list_too_but_not_what_is_in_it() {
        let events = [
            (Event::Init, 0),
            (Event::InitApply(()), 0),
            (Event::InitDone, 0),
            (Event::Apply(()), 1),
            (Event::Delete(()), 1),
            // The watch is begun anew: what went meanwhile is not in the list.
            (Event::Init, 0),
            (Event::InitApply(()), 0),
            (Event::InitDone, 1),
        ];
        let (feed, watch) = futures::channel::mpsc::unbounded();
        let mut told = Box::pin(changes(watch));
        for (event, times) in events {
            feed.unbounded_send(Ok(event)).unwrap();
            let mut seen = 0;
            while told.next().now_or_never().is_some() {
                seen += 1;
            }
            assert_eq!(seen, times);
        }
    }

    #[tokio::test]
    async fn object_of_a_list_is_told_when_the_cache_has_it() {
        let access = |name: &str| {
            let mut access = crate::fixtures::access("");
            access.metadata.name = Some(name.to_owned());
            DeserializeGuard(Ok(access))
        };
        let (cache, writer) = reflector::store::<Guarded>();
        let events = [
            Event::Init,
            Event::InitApply(access("first")),
            Event::InitDone,
            Event::Apply(access("second")),
            // The watch is begun anew.
            Event::Init,
            Event::InitApply(access("first")),
            Event::InitApply(access("third")),
            Event::InitDone,
        ];
        let watch = futures::stream::iter(events.map(Ok)).reflect(writer);
        let mut told = Box::pin(applied(watch, cache.clone()));
        let mut names = Vec::new();
        while let Some(object) = told.try_next().await.unwrap() {
            let reference = reflector::ObjectRef::from_obj(object.as_ref());
            assert!(cache.get(&reference).is_some(), "{reference} is not there");
            names.push(reference.name);
        }
        names[2..].sort();
        assert_eq!(names, ["first", "second", "first", "third"]);
    }

    #[tokio::test]
    async fn api_that_is_gone_after_a_list_keeps_what_was_known() {
        let events = vec![Ok(Event::Init), Ok(Event::InitDone), Err(failure(404))];
        assert_eq!(seen(events).await, ["init", "done", "error"]);
    }
}
