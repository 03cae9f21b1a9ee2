//! Merges watches of one kind into one: an operator that is limited to some namespaces watches each of them but has one
//! cache.
//!
//! A watch that restarts lists only its own namespace, but a forwarded list would replace the whole cache. So the first
//! list is complete once all watches have listed, and later lists are converted to individual changes.

use std::collections::HashMap;

use futures::{
    Stream, StreamExt,
    stream::{self, BoxStream},
};
use kube::Resource;
use kube_runtime::watcher::{self, Event};

type Item<K> = Result<Event<K>, watcher::Error>;
/// Namespace and name.
type Key = (Option<String>, String);

/// Merges several watches; a single one is returned unchanged.
pub(crate) fn merged<K, S>(mut watches: Vec<S>) -> BoxStream<'static, Item<K>>
where
    K: Resource + Clone + Send + 'static,
    S: Stream<Item = Item<K>> + Send + 'static,
{
    if watches.len() == 1
        && let Some(only) = watches.pop()
    {
        return only.boxed();
    }
    let mut merger = Merger::new(watches.len());
    let numbered = watches
        .into_iter()
        .enumerate()
        .map(|(number, watch)| watch.map(move |item| (number, item)).boxed());
    stream::select_all(numbered)
        .flat_map(move |(number, item)| {
            let items = match item {
                Ok(event) => merger.step(number, event).into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(items)
        })
        .boxed()
}

/// State of all watches.
struct Merger<K> {
    watches: Vec<Watch<K>>,
    /// Whether the first list was forwarded.
    listed: bool,
}

struct Watch<K> {
    /// The list in progress.
    listing: HashMap<Key, K>,
    known: HashMap<Key, K>,
    complete: bool,
}

impl<K: Resource + Clone> Merger<K> {
    fn new(count: usize) -> Self {
        let watch = || Watch {
            listing: HashMap::new(),
            known: HashMap::new(),
            complete: false,
        };
        Self {
            watches: std::iter::repeat_with(watch).take(count).collect(),
            listed: false,
        }
    }

    /// The events to forward.
    fn step(&mut self, number: usize, event: Event<K>) -> Vec<Event<K>> {
        let Some(watch) = self.watches.get_mut(number) else {
            return Vec::new();
        };
        match event {
            Event::Init => watch.listing.clear(),
            Event::InitApply(object) => {
                watch.listing.insert(key(&object), object);
            }
            Event::InitDone => {
                let now = std::mem::take(&mut watch.listing);
                let before = std::mem::replace(&mut watch.known, now);
                watch.complete = true;
                return if self.listed {
                    changes(before, &watch.known)
                } else {
                    self.first_list()
                };
            }
            Event::Apply(object) => {
                watch.known.insert(key(&object), object.clone());
                return self.once_listed(Event::Apply(object));
            }
            Event::Delete(object) => {
                watch.known.remove(&key(&object));
                return self.once_listed(Event::Delete(object));
            }
        }
        Vec::new()
    }

    fn once_listed(&self, event: Event<K>) -> Vec<Event<K>> {
        if self.listed { vec![event] } else { Vec::new() }
    }

    fn first_list(&mut self) -> Vec<Event<K>> {
        if !self.watches.iter().all(|watch| watch.complete) {
            return Vec::new();
        }
        self.listed = true;
        let known = self.watches.iter().flat_map(|watch| watch.known.values());
        let mut events = vec![Event::Init];
        events.extend(known.cloned().map(Event::InitApply));
        events.push(Event::InitDone);
        events
    }
}

fn changes<K: Resource + Clone>(before: HashMap<Key, K>, now: &HashMap<Key, K>) -> Vec<Event<K>> {
    let mut events = Vec::new();
    for (key, object) in now {
        let same = before
            .get(key)
            .is_some_and(|before| before.meta().resource_version == object.meta().resource_version);
        if !same {
            events.push(Event::Apply(object.clone()));
        }
    }
    let gone = before.into_iter().filter(|(key, _)| !now.contains_key(key));
    events.extend(gone.map(|(_, object)| Event::Delete(object)));
    events
}

fn key<K: Resource>(object: &K) -> Key {
    let metadata = object.meta();
    (
        metadata.namespace.clone(),
        metadata.name.clone().unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::api::ObjectMeta;

    use super::*;

    fn object(namespace: &str, name: &str, version: &str) -> ConfigMap {
        ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(name.to_owned()),
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        }
    }

    fn described(events: Vec<Event<ConfigMap>>) -> Vec<String> {
        let name = |object: ConfigMap| object.metadata.name.unwrap_or_default();
        let mut described: Vec<String> = events
            .into_iter()
            .map(|event| match event {
                Event::Init => "init".to_owned(),
                Event::InitDone => "done".to_owned(),
                Event::InitApply(object) => format!("listed {}", name(object)),
                Event::Apply(object) => format!("applied {}", name(object)),
                Event::Delete(object) => format!("deleted {}", name(object)),
            })
            .collect();
        let order = described.clone();
        described.sort();
        // The objects of a list may be in any order between its start and end.
        if order.first().map(String::as_str) == Some("init") {
            order
        } else {
            described
        }
    }

    fn list(merger: &mut Merger<ConfigMap>, number: usize, objects: Vec<ConfigMap>) -> Vec<String> {
        assert!(merger.step(number, Event::Init).is_empty());
        for object in objects {
            assert!(merger.step(number, Event::InitApply(object)).is_empty());
        }
        described(merger.step(number, Event::InitDone))
    }

    #[test]
    fn first_list_is_forwarded_once_every_watch_has_listed() {
        let mut merger = Merger::new(2);
        assert!(
            list(
                &mut merger,
                0,
                vec![object("a", "one", "1"), object("a", "two", "1")]
            )
            .is_empty()
        );
        // Earlier changes become part of the list.
        assert!(
            merger
                .step(0, Event::Delete(object("a", "two", "2")))
                .is_empty()
        );
        assert_eq!(
            list(&mut merger, 1, Vec::new()),
            ["init", "listed one", "done"]
        );
        assert_eq!(
            described(merger.step(1, Event::Apply(object("b", "three", "3")))),
            ["applied three"]
        );
    }

    #[test]
    fn later_list_is_converted_to_changes_of_its_namespace() {
        let mut merger = Merger::new(2);
        list(
            &mut merger,
            0,
            vec![object("a", "one", "1"), object("a", "two", "1")],
        );
        list(&mut merger, 1, vec![object("b", "one", "1")]);
        let again = vec![object("a", "one", "1"), object("a", "new", "5")];
        assert_eq!(list(&mut merger, 0, again), ["applied new", "deleted two"]);
        let changed = vec![object("a", "one", "9"), object("a", "new", "5")];
        assert_eq!(list(&mut merger, 0, changed), ["applied one"]);
    }

    #[test]
    fn watch_interrupted_while_listing_starts_over() {
        let mut merger = Merger::new(1);
        merger.step(0, Event::Init);
        merger.step(0, Event::InitApply(object("a", "old", "1")));
        assert_eq!(
            list(&mut merger, 0, vec![object("a", "one", "1")]),
            ["init", "listed one", "done"]
        );
    }
}
