//! What the operator remembers about objects between reconciles.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use kube::{Resource, ResourceExt};

use super::{
    Guarded,
    publish::{self, Written},
};

/// What the operator remembers about objects, by UID. Losing it costs time, never correctness.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    objects: Mutex<HashMap<String, Remembered>>,
    pub(super) reconciles: AtomicU64,
}

#[derive(Debug, Default)]
struct Remembered {
    /// Consecutive failures.
    failures: u32,
    written: Option<Written>,
    seen: Option<Seen>,
}

/// The parts of a `BedrockAccess` that matter, as last reported by the watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    generation: Option<i64>,
    /// Hash of the status.
    status: u64,
}

impl Memory {
    pub(super) fn failed(&self, uid: &str) -> u32 {
        let mut objects = self.objects();
        let failures = &mut objects.entry(uid.to_owned()).or_default().failures;
        *failures = failures.saturating_add(1);
        *failures
    }

    pub(super) fn succeeded(&self, uid: &str) {
        self.objects().entry(uid.to_owned()).or_default().failures = 0;
    }

    pub(super) fn forget(&self, uid: &str) {
        let mut objects = self.objects();
        let object = objects.entry(uid.to_owned()).or_default();
        object.failures = 0;
        object.written = None;
    }

    /// The status of an object that was written last.
    pub(super) fn written(&self, uid: &str) -> Option<Written> {
        self.objects().get(uid)?.written.clone()
    }

    pub(super) fn set_written(&self, uid: String, written: Written) {
        self.objects().entry(uid).or_default().written = Some(written);
    }

    /// Whether a watch event is more than the echo of our own status: a new spec, or a status written by another
    /// process, such as a previous leader.
    pub(crate) fn is_external_change(&self, access: &Guarded) -> bool {
        let status = access
            .0
            .as_ref()
            .ok()
            .and_then(|access| access.status.as_ref());
        let now = Seen {
            generation: access.meta().generation,
            status: publish::fingerprint(status),
        };
        let uid = access.uid().unwrap_or_default();
        let mut objects = self.objects();
        let object = objects.entry(uid).or_default();
        let ours = object.written.as_ref().map(Written::fingerprint);
        object.seen.replace(now).is_none_or(|before| {
            before.generation != now.generation
                || (before.status != now.status && ours != Some(now.status))
        })
    }

    /// Forgets every object for which `exists` is false, so that memory use follows the number of objects.
    pub(crate) fn retain(&self, exists: impl Fn(&str) -> bool) {
        self.objects().retain(|uid, _| exists(uid));
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
