//! Signed reasoning of recent responses, for clients of Chat Completions that replay tool calls without it.
//!
//! Best effort: bounded, in the memory of this process only, and for the same client and model only.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bedrock::converse::ReasoningContent;
use dialects::translation::{KeptReasoning, SignedReasoning};
use lru::LruCache;
use tokio::time::Instant;

/// All reasoning together, with its keys.
const MAX_BYTES: usize = 16 * 1024 * 1024;
/// Time since the last use: longer than most tools run.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Signed reasoning of all clients.
pub(crate) struct ReasoningStore(Mutex<Entries>);

struct Entries {
    by_call: LruCache<String, Entry>,
    bytes: usize,
}

struct Entry {
    blocks: Arc<SignedReasoning>,
    bytes: usize,
    used: Instant,
}

/// The reasoning of one client, of one model.
#[derive(Clone, Debug)]
pub(crate) struct ClientReasoning {
    store: Arc<ReasoningStore>,
    prefix: String,
}

impl ReasoningStore {
    /// The reasoning of a client's requests to a model.
    pub(crate) fn of(self: &Arc<Self>, client: &str, model_id: &str) -> ClientReasoning {
        ClientReasoning {
            store: Arc::clone(self),
            prefix: format!("{client}\n{model_id}\n"),
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.with(|entries| {
            entries.by_call.clear();
            entries.bytes = 0;
        });
    }

    /// The entries, without those that are too old.
    fn with<T>(&self, act: impl FnOnce(&mut Entries) -> T) -> T {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, oldest)) = entries.by_call.peek_lru()
            && oldest.used.elapsed() > MAX_AGE
        {
            entries.remove_oldest();
        }
        act(&mut entries)
    }
}

impl Entries {
    fn remove_oldest(&mut self) {
        if let Some((_, removed)) = self.by_call.pop_lru() {
            self.bytes = self.bytes.saturating_sub(removed.bytes);
        }
    }
}

impl ClientReasoning {
    /// Keeps the reasoning of a response, by the id of its first tool call.
    pub(crate) fn keep(&self, (call, blocks): (String, SignedReasoning)) {
        let key = format!("{}{call}", self.prefix);
        let size: usize = blocks.iter().map(size).sum();
        let entry = Entry {
            bytes: size.saturating_add(key.len()),
            blocks: Arc::new(blocks),
            used: Instant::now(),
        };
        self.store.with(|entries| {
            entries.bytes = entries.bytes.saturating_add(entry.bytes);
            if let Some(replaced) = entries.by_call.put(key, entry) {
                entries.bytes = entries.bytes.saturating_sub(replaced.bytes);
            }
            while entries.bytes > MAX_BYTES && !entries.by_call.is_empty() {
                entries.remove_oldest();
            }
        });
    }
}

impl KeptReasoning for ClientReasoning {
    fn before_call(&self, id: &str) -> Option<Arc<SignedReasoning>> {
        self.store.with(|entries| {
            if entries.by_call.is_empty() {
                return None;
            }
            let entry = entries.by_call.get_mut(&format!("{}{id}", self.prefix))?;
            entry.used = Instant::now();
            Some(Arc::clone(&entry.blocks))
        })
    }
}

impl Default for ReasoningStore {
    fn default() -> Self {
        Self(Mutex::new(Entries {
            by_call: LruCache::unbounded(),
            bytes: 0,
        }))
    }
}

impl fmt::Debug for ReasoningStore {
    /// Without the reasoning.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReasoningStore").finish_non_exhaustive()
    }
}

/// Size in bytes.
fn size(block: &ReasoningContent<'_>) -> usize {
    match block {
        ReasoningContent::ReasoningText(text) => {
            let signature = text.signature.as_ref().map_or(0, |text| text.len());
            text.text.bytes().saturating_add(signature)
        }
        ReasoningContent::RedactedContent(data) => data.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blocks(length: usize) -> SignedReasoning {
        vec![ReasoningContent::RedactedContent("x".repeat(length).into())]
    }

    #[tokio::test(start_paused = true)]
    async fn keeps_reasoning_of_a_client_and_model_for_an_hour_since_its_last_use() {
        let store = Arc::new(ReasoningStore::default());
        let one = store.of("one", "model");
        one.keep(("call".to_owned(), blocks(3)));
        assert!(one.before_call("call").is_some());
        assert!(one.before_call("other").is_none());
        assert!(store.of("two", "model").before_call("call").is_none());
        assert!(store.of("one", "other").before_call("call").is_none());
        for minutes in [59, 59, 61] {
            let before = one.before_call("call").is_some();
            tokio::time::advance(Duration::from_mins(minutes)).await;
            assert!(before);
        }
        assert!(one.before_call("call").is_none());
        assert_eq!(store.with(|entries| entries.bytes), 0);
    }

    #[test]
    fn removes_the_least_recently_used_reasoning_above_the_limit() {
        let store = Arc::new(ReasoningStore::default());
        let client = store.of("one", "model");
        for call in 0..20 {
            client.keep((format!("{call:02}"), blocks(MAX_BYTES / 10)));
            assert!(client.before_call("00").is_some());
        }
        let kept = store.with(|entries| (entries.bytes <= MAX_BYTES, entries.by_call.len()));
        assert_eq!(kept, (true, 9));
        assert!(client.before_call("19").is_some());
        assert!(client.before_call("01").is_none());
        client.keep(("00".to_owned(), blocks(MAX_BYTES + 1)));
        assert_eq!(
            store.with(|entries| (entries.bytes, entries.by_call.len())),
            (0, 0)
        );
    }
}
