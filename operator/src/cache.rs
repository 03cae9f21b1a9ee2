//! Caches of watched objects with an index by `BedrockAccess`, and the changes in them.
//!
//! A reflector of kube-runtime holds the objects. The index finds the objects that belong to one `BedrockAccess`
//! without a scan. After a watch restarts, the new list is compared with the old one: objects deleted in the meantime
//! have no event of their own
//! (<https://docs.rs/kube/latest/kube/runtime/watcher/enum.Event.html#variant.Init>), and unchanged objects need none.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError, RwLock},
};

use futures::{Stream, StreamExt, stream};
use kube::{Resource, ResourceExt};
use kube_runtime::{
    reflector::{self, ObjectRef, Store, store::WriterDropped},
    watcher::{self, Event},
};

/// Object names, indexed by namespace and name of the `BedrockAccess` they belong to.
type Index = HashMap<(String, String), BTreeSet<String>>;

/// Objects of one kind, as last reported by the watch.
pub(crate) struct Cache<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store: Store<K>,
    index: Arc<RwLock<Index>>,
    kind: K::DynamicType,
}

/// The writing side of a [`Cache`].
pub(crate) struct Writer<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    store: reflector::store::Writer<K>,
    cache: Cache<K>,
    /// Label with the name of the `BedrockAccess`.
    label: &'static str,
}

impl<K> Cache<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    /// Waits for the first complete list; supports only one waiter.
    ///
    /// # Errors
    /// When the watch has ended, which happens only on shutdown.
    pub(crate) async fn wait_until_ready(&self) -> Result<(), WriterDropped> {
        self.store.wait_until_ready().await
    }

    /// An object by name.
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        self.store
            .get(&ObjectRef::new_with(name, self.kind.clone()).within(namespace))
    }

    /// The objects of a `BedrockAccess`, ordered by name.
    pub(crate) fn of(&self, namespace: &str, access: &str) -> Vec<Arc<K>> {
        let key = (namespace.to_owned(), access.to_owned());
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let names = index.get(&key).cloned().unwrap_or_default();
        drop(index);
        names
            .iter()
            .filter_map(|name| self.get(namespace, name))
            .collect()
    }
}

impl<K> Writer<K>
where
    K: Resource + Clone + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    /// An empty cache for objects of one kind; `label` contains the name of the `BedrockAccess` they belong to.
    pub(crate) fn new(kind: K::DynamicType, label: &'static str) -> Self {
        let writer = reflector::store::Writer::new(kind.clone());
        let cache = Cache {
            store: writer.as_reader(),
            index: Arc::default(),
            kind,
        };
        Self {
            store: writer,
            cache,
            label,
        }
    }

    pub(crate) fn reader(&self) -> Cache<K> {
        self.cache.clone()
    }

    /// Applies an event and returns the objects that it changed or deleted.
    pub(crate) fn apply(&mut self, event: &Event<K>) -> Vec<Arc<K>> {
        match event {
            Event::Apply(object) | Event::Delete(object) => {
                let before = self.cache.store.get(&self.reference(object));
                self.store.apply_watcher_event(event);
                let now = matches!(event, Event::Apply(_)).then_some(object);
                self.reindex(before.as_deref(), now);
                vec![Arc::new(object.clone())]
            }
            Event::InitDone => self.replace(event),
            Event::Init | Event::InitApply(_) => {
                self.store.apply_watcher_event(event);
                Vec::new()
            }
        }
    }

    /// Replaces the content with a new list.
    fn replace(&mut self, event: &Event<K>) -> Vec<Arc<K>> {
        let store = &self.cache.store;
        let mut before: HashMap<ObjectRef<K>, Arc<K>> = store
            .state()
            .into_iter()
            .map(|object| (self.reference(&object), object))
            .collect();
        self.store.apply_watcher_event(event);
        let mut touched = Vec::new();
        for object in store.state() {
            let old = before.remove(&self.reference(&object));
            let version = |object: &Arc<K>| object.resource_version();
            if old
                .as_ref()
                .is_some_and(|old| version(old) == version(&object))
            {
                continue;
            }
            self.reindex(old.as_deref(), Some(&object));
            touched.push(object);
        }
        for gone in before.values() {
            self.reindex(Some(gone), None);
        }
        touched.extend(before.into_values());
        touched
    }

    fn reference(&self, object: &K) -> ObjectRef<K> {
        ObjectRef::from_obj_with(object, self.cache.kind.clone())
    }

    fn reindex(&self, before: Option<&K>, now: Option<&K>) {
        let mut index = self
            .cache
            .index
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((key, name)) = before.and_then(|object| self.key(object))
            && let Some(names) = index.get_mut(&key)
        {
            names.remove(&name);
            if names.is_empty() {
                index.remove(&key);
            }
        }
        if let Some((key, name)) = now.and_then(|object| self.key(object)) {
            index.entry(key).or_default().insert(name);
        }
    }

    fn key(&self, object: &K) -> Option<((String, String), String)> {
        let access = object.labels().get(self.label)?.clone();
        Some(((object.namespace()?, access), object.name_any()))
    }
}

/// Fills a cache from a watch and yields the objects that changed or were deleted.
pub(crate) fn fill<K>(
    watch: impl Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
    mut writer: Writer<K>,
) -> impl Stream<Item = watcher::Result<K>> + Send + 'static
where
    K: Resource + Clone + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Send + Sync,
{
    watch
        .map(move |event| match event {
            Ok(event) => writer.apply(&event).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        })
        .flat_map(|touched| {
            stream::iter(touched).map(|one| one.map(|object| Arc::unwrap_or_clone(object)))
        })
}

impl<K> Clone for Cache<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            index: Arc::clone(&self.index),
            kind: self.kind.clone(),
        }
    }
}

impl<K> fmt::Debug for Cache<K>
where
    K: Resource + 'static,
    K::DynamicType: Eq + Hash + Clone,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::json;

    use super::*;

    const LABEL: &str = "access";

    fn object(name: &str, access: &str, version: u32) -> ConfigMap {
        serde_json::from_value(json!({"metadata": {
            "namespace": "team-a", "name": name, "labels": {LABEL: access},
            "resourceVersion": version.to_string(),
        }}))
        .unwrap()
    }

    fn list(writer: &mut Writer<ConfigMap>, objects: &[ConfigMap]) -> Vec<String> {
        writer.apply(&Event::Init);
        for object in objects {
            assert!(writer.apply(&Event::InitApply(object.clone())).is_empty());
        }
        names(&writer.apply(&Event::InitDone))
    }

    fn names(objects: &[Arc<ConfigMap>]) -> Vec<String> {
        let mut names: Vec<String> = objects.iter().map(|object| object.name_any()).collect();
        names.sort();
        names
    }

    #[test]
    fn new_list_reports_only_changed_added_and_deleted_objects() {
        let mut writer = Writer::new((), LABEL);
        let first = [
            object("a", "x", 1),
            object("b", "x", 2),
            object("c", "x", 3),
        ];
        assert_eq!(list(&mut writer, &first), ["a", "b", "c"]);
        let second = [
            object("a", "x", 1),
            object("b", "y", 9),
            object("d", "x", 4),
        ];
        assert_eq!(list(&mut writer, &second), ["b", "c", "d"]);
        assert_eq!(names(&writer.reader().of("team-a", "x")), ["a", "d"]);
        assert_eq!(names(&writer.reader().of("team-a", "y")), ["b"]);
    }

    #[test]
    fn objects_are_found_by_their_current_label() {
        let mut writer = Writer::new((), LABEL);
        list(&mut writer, &[object("a", "x", 1)]);
        let cache = writer.reader();
        writer.apply(&Event::Apply(object("b", "x", 2)));
        assert_eq!(names(&cache.of("team-a", "x")), ["a", "b"]);
        writer.apply(&Event::Apply(object("b", "y", 3)));
        assert_eq!(names(&cache.of("team-a", "x")), ["a"]);
        assert_eq!(names(&cache.of("team-a", "y")), ["b"]);
        assert!(cache.of("team-b", "y").is_empty());
        writer.apply(&Event::Delete(object("b", "y", 3)));
        assert!(cache.of("team-a", "y").is_empty());
        assert!(cache.get("team-a", "b").is_none());
        assert!(cache.get("team-a", "a").is_some());
    }
}
