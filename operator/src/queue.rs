//! What waits for a reconcile, for the metrics: kube-runtime's queue tells nobody how long it is.
//!
//! Counted where a watch or a signal asks for a reconcile, and until one begins. What comes back by itself after a
//! while is not waiting, as in controller-runtime.

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

/// Accesses that wait, and since when.
#[derive(Debug)]
pub(crate) struct Queue {
    accesses: Store<Guarded>,
    metrics: Arc<Metrics>,
    waiting: Mutex<HashMap<Key, Instant>>,
}

impl Queue {
    pub(crate) fn new(accesses: Store<Guarded>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            accesses,
            metrics,
            waiting: Mutex::default(),
        })
    }

    /// An access itself asks for a reconcile, also before the cache has it.
    pub(crate) fn changed(&self, access: &Guarded) {
        self.wait(key(access));
    }

    /// A reconcile of this access is asked for; one that is not there has none.
    pub(crate) fn add(&self, access: &ObjectRef<Guarded>) {
        if self.accesses.get(access).is_none() {
            return;
        }
        let namespace = access.namespace.clone().unwrap_or_default();
        self.wait((namespace, access.name.clone()));
    }

    /// A reconcile of every access is asked for.
    pub(crate) fn add_all(&self) {
        for access in self.accesses.state() {
            self.wait(key(&access));
        }
    }

    /// A reconcile begins.
    pub(crate) fn begin(&self, access: &Guarded) {
        let mut waiting = self.waiting();
        if let Some(since) = waiting.remove(&key(access)) {
            self.metrics.dequeued(waiting.len(), since.elapsed());
        }
    }

    /// Forgets what was deleted before its turn came.
    pub(crate) fn keep_those_there(&self) {
        let mut waiting = self.waiting();
        waiting.retain(|(namespace, name), _| {
            let access = ObjectRef::new(name).within(namespace);
            self.accesses.get(&access).is_some()
        });
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
        let text = metrics.render().unwrap();
        let line = text.lines().find(|line| line.starts_with(name)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn access_waits_from_the_first_call_until_its_reconcile_begins() {
        let (store, mut writer) = reflector::store::<Guarded>();
        let access = DeserializeGuard(Ok(fixtures::access("")));
        writer.apply_watcher_event(&Event::Apply(access.clone()));
        let metrics = Arc::new(Metrics::new(1));
        let queue = Queue::new(store, Arc::clone(&metrics));
        let reference = ObjectRef::from_obj(&access);
        queue.changed(&access);
        queue.add(&reference);
        queue.add(&ObjectRef::new("nobody").within("team-a"));
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
        queue.keep_those_there();
        assert_eq!(metric(&metrics, "workqueue_depth{"), "0");
    }
}
