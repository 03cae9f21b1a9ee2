//! Where conversations are while they are not at home.
//!
//! The home of a conversation is the target that rendezvous hashing selects, the same in every replica. While that target fails, the conversation
//! is served by another one, which then holds its cache. It returns when that costs nothing: while the cache of its home is
//! still warm, or after that of the other target has expired. Best effort, in the memory of this process only.

use std::{
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lru::LruCache;
use tokio::time::Instant;

use super::Affinity;
use crate::upstream::{
    health::Admission,
    target::{Target, Targets},
};

/// Most conversations away from home; about 1 MB.
const MAX_CONVERSATIONS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(16_383);

/// The conversations that are not at home.
#[derive(Debug)]
pub(crate) struct Placements(Mutex<LruCache<u64, Placement>>);

#[derive(Clone, Copy, Debug)]
struct Placement {
    /// The target that served the last request.
    target: u64,
    /// When the conversation left its home.
    left: Instant,
    /// Time of the last request.
    used: Instant,
}

impl Placements {
    /// Moves ejected targets to the end, and the target that holds the conversation's cache to the front. A target that needs a probe
    /// is admitted only if it comes first, for one request at a time.
    pub(crate) fn arrange(&self, targets: Targets, affinity: &mut Affinity) -> Targets {
        if targets.rest.is_empty() {
            return targets;
        }
        let now = Instant::now();
        affinity.home = targets.first.seed;
        let priority = targets.first.priority;
        let mut order = Vec::with_capacity(targets.count());
        let mut ejected = Vec::new();
        for target in targets.iter().cloned() {
            match target.admission(affinity.key, now) {
                Admission::Admitted => order.push(target),
                Admission::AsProbe if order.is_empty() => order.push(target),
                Admission::AsProbe | Admission::Refused => ejected.push(target),
            }
        }
        if let Some(place) = self.place(affinity, priority, &order, now) {
            let at = order.iter().position(|target| target.seed == place);
            if let Some(slots) = at.and_then(|at| order.get_mut(..=at)) {
                slots.rotate_right(1);
            }
        }
        // Last, since a request that goes elsewhere is no probe.
        if order.first().is_some_and(|first| !first.try_probe(now)) {
            ejected.insert(0, order.remove(0));
        }
        order.extend(ejected);
        Targets::new(order).unwrap_or(targets)
    }

    /// The target to prefer, if the conversation does not go to the first of `order`.
    fn place(
        &self,
        affinity: &Affinity,
        priority: u32,
        order: &[Arc<Target>],
        now: Instant,
    ) -> Option<u64> {
        let lifetime = affinity.lifetime?;
        let mut placements = self.lock();
        let placement = *placements.peek(&affinity.key)?;
        let is_warm = |since: Instant| now.duration_since(since) < lifetime;
        let place = order
            .iter()
            .find(|target| target.seed == placement.target)?;
        let is_home_back = order.iter().any(|target| target.seed == affinity.home);
        let returns = is_home_back && (is_warm(placement.left) || place.priority > priority);
        if returns || !is_warm(placement.used) {
            placements.pop(&affinity.key);
            return None;
        }
        Some(placement.target)
    }

    /// A target has responded to a request of the conversation.
    pub(crate) fn served(&self, affinity: &Affinity, target: &Target) {
        if affinity.lifetime.is_none() || affinity.home == 0 {
            return;
        }
        let mut placements = self.lock();
        if target.seed == affinity.home {
            placements.pop(&affinity.key);
            return;
        }
        let now = Instant::now();
        let left = placements
            .peek(&affinity.key)
            .map_or(now, |place| place.left);
        let placement = Placement {
            target: target.seed,
            left,
            used: now,
        };
        placements.put(affinity.key, placement);
    }

    fn lock(&self) -> MutexGuard<'_, LruCache<u64, Placement>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Placements {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_CONVERSATIONS)))
    }
}

#[cfg(test)]
mod tests;
