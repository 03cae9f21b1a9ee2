//! The last request of each conversation, to name what changed when a cached prefix is not read.
//!
//! A session of a client can have several conversations, such as those of subagents; each is recognized by its first messages. Bounded, and
//! in the memory of this process only.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bedrock::converse::TokenUsage;
use lru::LruCache;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    LONG, SHORT,
    difference::{self, Difference, Part},
    outline::{Outline, hash_all},
};

/// Hashes of all conversations together: 8 MB.
const MAX_HASHES: usize = 1 << 20;
/// Conversations of one session.
const MAX_CONVERSATIONS: usize = 8;
/// Hashes that a request has besides its messages.
const FIXED_HASHES: usize = 24;

/// The last requests of all conversations.
pub(crate) struct Conversations(Mutex<Entries>);

struct Entries {
    by_session: LruCache<u64, Vec<Request>>,
    hashes: usize,
}

/// A request that was answered.
struct Request {
    model: u64,
    target: u64,
    outline: Outline,
    /// Tokens of the prefix that the cache holds since then.
    cached: u64,
    at: Instant,
}

/// A request of a conversation, until its usage is known.
pub(crate) struct Conversation {
    store: Arc<Conversations>,
    session: u64,
    model: u64,
    outline: Outline,
    at: Instant,
    earlier: Option<Earlier>,
}

/// The earlier request of the conversation.
#[derive(Clone, Copy)]
struct Earlier {
    target: u64,
    cached: u64,
    /// Where this request parts from it.
    difference: Option<Difference>,
    is_expired: bool,
}

/// A cached prefix that was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheBreak {
    pub(crate) difference: Difference,
    /// Tokens that were cached and were not read.
    pub(crate) lost: u64,
}

impl Conversations {
    /// A request of a client's conversation.
    pub(crate) fn open(
        self: &Arc<Self>,
        client: &str,
        model: &str,
        outline: Outline,
    ) -> Conversation {
        // Without the client's name of the conversation, its first message is.
        let first = outline.messages.first().copied().unwrap_or_default();
        let key = outline.key.unwrap_or(first);
        let session = hash_all(&[xxh3_64(client.as_bytes()), key]);
        let model = xxh3_64(model.as_bytes());
        let at = Instant::now();
        let mut entries = self.lock();
        let requests = entries.by_session.get(&session);
        let request = requests.and_then(|all| all.iter().find(|one| one.is_before(&outline)));
        let earlier = request.map(|request| request.compare(model, &outline, at));
        drop(entries);
        Conversation {
            store: Arc::clone(self),
            session,
            model,
            outline,
            at,
            earlier,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Request {
    /// Whether a request continues this one: with the same beginning, of which one part may have changed.
    fn is_before(&self, later: &Outline) -> bool {
        let own = &self.outline;
        let is_same = |index: usize| {
            let message = own.messages.get(index);
            message.is_some() && message == later.messages.get(index)
        };
        let has_same_setting = own.tools == later.tools || own.system == later.system;
        is_same(1) || (is_same(0) && has_same_setting)
    }

    fn compare(&self, model: u64, later: &Outline, at: Instant) -> Earlier {
        let own = &self.outline;
        let lifetime = if own.points.is_long() { LONG } else { SHORT };
        let difference = if self.model == model {
            difference::of_outlines(own, later)
        } else {
            Some(Part::Model.into())
        };
        Earlier {
            target: self.target,
            cached: self.cached,
            difference,
            is_expired: at.duration_since(self.at) >= lifetime,
        }
    }

    fn hashes(&self) -> usize {
        self.outline.messages.len().saturating_add(FIXED_HASHES)
    }
}

impl Conversation {
    /// The relation to the earlier request, for the response header.
    pub(crate) fn report(&self) -> String {
        match &self.earlier {
            None => "new".to_owned(),
            Some(earlier) => {
                let part = match earlier.difference {
                    Some(difference) => difference.to_string(),
                    None if earlier.is_expired => Part::Expired.name().to_owned(),
                    None => "none".to_owned(),
                };
                format!("changed={part}; cached-tokens={}", earlier.cached)
            }
        }
    }

    /// The usage is known: remembers the request, and returns whether a cached prefix was not read.
    pub(crate) fn close(self, usage: &TokenUsage, target: u64) -> Option<CacheBreak> {
        let read = usage.cache_read_input_tokens;
        let cached = read.saturating_add(usage.cache_write_input_tokens);
        let found = self.earlier.and_then(|earlier| {
            let lost = earlier.cached.checked_sub(read).filter(|lost| *lost > 0)?;
            let circumstance = if earlier.target != target {
                Part::Target
            } else if earlier.is_expired {
                Part::Expired
            } else {
                Part::Unknown
            };
            let difference = earlier.difference.unwrap_or(circumstance.into());
            Some(CacheBreak { difference, lost })
        });
        if cached > 0 || self.earlier.is_some() {
            let request = Request {
                model: self.model,
                target,
                outline: self.outline,
                cached,
                at: self.at,
            };
            self.store.lock().put(self.session, request);
        }
        found
    }
}

impl Entries {
    fn put(&mut self, session: u64, request: Request) {
        self.hashes = self.hashes.saturating_add(request.hashes());
        let requests = self.by_session.get_or_insert_mut(session, Vec::new);
        let earlier = requests
            .iter()
            .position(|one| one.is_before(&request.outline));
        let is_full = requests.len() >= MAX_CONVERSATIONS;
        let replaced = earlier.or(is_full.then(|| requests.len().saturating_sub(1)));
        if let Some(at) = replaced {
            let replaced = requests.remove(at);
            self.hashes = self.hashes.saturating_sub(replaced.hashes());
        }
        // The most recent one first.
        requests.insert(0, request);
        while self.hashes > MAX_HASHES
            && let Some((_, removed)) = self.by_session.pop_lru()
        {
            let hashes = removed.iter().map(Request::hashes).sum();
            self.hashes = self.hashes.saturating_sub(hashes);
        }
    }
}

impl Default for Conversations {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            by_session: LruCache::unbounded(),
            hashes: 0,
        }))
    }
}

impl std::fmt::Debug for Conversations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversations").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Conversation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conversation").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
