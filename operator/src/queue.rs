//! The objects that wait for a reconcile, for the metrics: kube-runtime does not expose the length of its queue.
//!
//! An object waits from the moment a watch or signal requests its reconcile until the reconcile starts. Scheduled
//! requeues do not count as waiting, as in controller-runtime.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::ResourceExt;
use kube_runtime::reflector::{ObjectRef, Store};
use tokio::time::Instant;

use crate::{access::Guarded, metrics::Metrics};

/// Namespace and name.
type Key = (String, String);

/// Waiting objects, and since when each has waited.
#[derive(Debug)]
pub(crate) struct Queue {
    access_store: Store<Guarded>,
    metrics: Arc<Metrics>,
    waiting: Mutex<HashMap<Key, Instant>>,
}

impl Queue {
    pub(crate) fn new(access_store: Store<Guarded>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            access_store,
            metrics,
            waiting: Mutex::default(),
        })
    }

    /// A `BedrockAccess` has changed and requests its own reconcile, also before the cache contains it.
    pub(crate) fn changed(&self, access: &Guarded) {
        self.wait(key(access));
    }

    /// A reconcile of this object is requested; ignored if the object does not exist.
    pub(crate) fn add(&self, access: &ObjectRef<Guarded>) {
        if self.access_store.get(access).is_none() {
            return;
        }
        let namespace = access.namespace.clone().unwrap_or_default();
        self.wait((namespace, access.name.clone()));
    }

    /// Whether a `BedrockAccess` exists.
    pub(crate) fn exists(&self, namespace: &str, name: &str) -> bool {
        let access = ObjectRef::new(name).within(namespace);
        self.access_store.get(&access).is_some()
    }

    /// A reconcile of every object is requested.
    pub(crate) fn add_all(&self) {
        for access in self.access_store.state() {
            self.wait(key(&access));
        }
    }

    /// A reconcile starts.
    pub(crate) fn begin(&self, access: &Guarded) {
        let mut waiting = self.waiting();
        if let Some(since) = waiting.remove(&key(access)) {
            self.metrics.dequeued(waiting.len(), since.elapsed());
        }
    }

    /// Removes objects that were deleted before their reconcile started.
    pub(crate) fn retain_existing(&self) {
        let mut waiting = self.waiting();
        waiting.retain(|(namespace, name), _| self.exists(namespace, name));
        self.metrics.queue_length(waiting.len());
    }

    fn wait(&self, key: Key) {
        let mut waiting = self.waiting();
        waiting.entry(key).or_insert_with(Instant::now);
        self.metrics.queued(waiting.len());
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Key, Instant>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(access: &Guarded) -> Key {
    (access.namespace().unwrap_or_default(), access.name_any())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kube::core::DeserializeGuard;
    use kube_runtime::{reflector, watcher::Event};

    use super::*;
    use crate::fixtures;

    fn metric(metrics: &Metrics, name: &str) -> String {
        let text = metrics.render(exposition::Format::Text).unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn object_waits_from_the_first_request_until_its_reconcile_starts() {
        let (store, mut writer) = reflector::store::<Guarded>();
        let access = DeserializeGuard(Ok(fixtures::access("")));
        writer.apply_watcher_event(&Event::Apply(access.clone()));
        let metrics = Arc::new(Metrics::new(1));
        let queue = Queue::new(store, Arc::clone(&metrics));
        let reference = ObjectRef::from_obj(&access);
        queue.changed(&access);
        queue.add(&reference);
        queue.add(&ObjectRef::new("missing").within("team-a"));
        assert_eq!(metric(&metrics, "workqueue_depth{"), "1");
        assert_eq!(metric(&metrics, "workqueue_adds_total{"), "2");
        tokio::time::advance(Duration::from_secs(3)).await;
        queue.begin(&access);
        assert_eq!(metric(&metrics, "workqueue_depth{"), "0");
        assert_eq!(
            metric(&metrics, "workqueue_queue_duration_seconds_sum{"),
            "3.0"
        );

        queue.add_all();
        assert_eq!(metric(&metrics, "workqueue_depth{"), "1");
        writer.apply_watcher_event(&Event::Delete(access));
        queue.retain_existing();
        assert_eq!(metric(&metrics, "workqueue_depth{"), "0");
    }
}
