//! Values that are found by keys of borrowed text, so that a request allocates nothing to find its series.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hash, RandomState},
    sync::{Arc, PoisonError, RwLock},
};

/// A map from keys to values that contain their key. Values are never removed: use it for a bounded number of keys.
#[derive(Debug)]
pub(super) struct Interned<T> {
    hasher: RandomState,
    /// Values by the hash of their key.
    values: RwLock<HashMap<u64, Vec<Arc<T>>>>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            hasher: RandomState::new(),
            values: RwLock::default(),
        }
    }
}

impl<T> Interned<T> {
    /// The value with this key, which `has_key` recognizes; `create` makes the first one.
    pub(super) fn get(
        &self,
        key: impl Hash,
        has_key: impl Fn(&T) -> bool,
        create: impl FnOnce() -> T,
    ) -> Arc<T> {
        let hash = self.hasher.hash_one(key);
        let find = |values: &HashMap<u64, Vec<Arc<T>>>| {
            let same_hash = values.get(&hash)?;
            same_hash.iter().find(|value| has_key(value)).cloned()
        };
        if let Some(value) = find(&self.values.read().unwrap_or_else(PoisonError::into_inner)) {
            return value;
        }
        let mut values = self.values.write().unwrap_or_else(PoisonError::into_inner);
        // Another thread may have been faster.
        find(&values).unwrap_or_else(|| {
            let value = Arc::new(create());
            values.entry(hash).or_default().push(Arc::clone(&value));
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_created_once_for_each_key() {
        let interned = Interned::default();
        let get = |key: (&str, u16)| {
            let has_key = |value: &(String, u16)| (value.0.as_str(), value.1) == key;
            interned.get(key, has_key, || (key.0.to_owned(), key.1))
        };
        let first = get(("a", 1));
        assert!(Arc::ptr_eq(&first, &get(("a", 1))));
        assert_eq!(*get(("a", 2)), ("a".to_owned(), 2));
        assert_eq!(*get(("b", 1)), ("b".to_owned(), 1));
        assert!(Arc::ptr_eq(&first, &get(("a", 1))));
    }
}
