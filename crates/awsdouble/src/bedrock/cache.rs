//! Bedrock's prompt cache: the prefixes that requests have written, how long they live, and what a request reads and
//! writes.
//!
//! A prefix belongs to an account, a region and a model. It ends at a cache point and covers tools, system prompt and
//! messages before it. Requests with fewer tokens before a point than the model's minimum ignore the point. A point reads
//! the longest prefix of its lifetime that ends at one of the blocks before it, as far as Bedrock looks back; a read
//! renews the life. What is between the read and the last point is written, by the lifetime of the points.
//! `rules.rs` has the sources (`cache-…`).
//!
//! Some models cache without points: a request reads the longest known prefix that ends at a block (AWS's models match
//! single tokens, so they read up to a block more) and writes nothing that is charged.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use super::catalog::Rules;
use super::prompt::{Point, Prompt};

/// Tokens below which models that cache without points do not cache; rule cache-implicit.
const IMPLICIT_MINIMUM: usize = 1024;
/// Their reads are multiples of this number of tokens.
const IMPLICIT_STEP: usize = 128;

/// The lifetime of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lifetime {
    FiveMinutes,
    Hour,
    /// Without cache points.
    Implicit,
}

impl Lifetime {
    fn duration(self) -> Duration {
        match self {
            Self::FiveMinutes | Self::Implicit => Duration::from_mins(5),
            Self::Hour => Duration::from_hours(1),
        }
    }
}

/// Whose cache it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) model: &'a str,
}

/// The input tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CacheUse {
    /// Tokens that are neither read nor written.
    pub(super) plain: usize,
    pub(super) read: usize,
    pub(super) written_5m: usize,
    pub(super) written_1h: usize,
}

/// A prefix of an account, a region and a model.
type Key = (String, Lifetime);

/// All written prefixes with the end of their lives.
#[derive(Debug, Default)]
pub(super) struct PromptCache {
    ends: Mutex<HashMap<Key, SystemTime>>,
}

impl PromptCache {
    /// Reads and writes the prefixes of a request.
    pub(super) fn process(
        &self,
        scope: Scope<'_>,
        prompt: &Prompt,
        rules: &Rules,
        now: SystemTime,
    ) -> CacheUse {
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.retain(|_, end| *end > now);
        let mut prefixes = Prefixes {
            ends: &mut ends,
            scope,
            prompt,
            now,
        };
        if rules.cache_implicit {
            return prefixes.implicit();
        }
        // Rule cache-minimum.
        let is_used = |point: &&Point| prompt.tokens_before(point.blocks) >= rules.cache_minimum;
        let points: Vec<Point> = prompt.points.iter().filter(is_used).copied().collect();
        let read = points
            .iter()
            .filter_map(|point| prefixes.read(*point, rules.cache_lookback))
            .max()
            .unwrap_or(0);
        let mut result = CacheUse {
            read,
            ..CacheUse::default()
        };
        let mut covered = read;
        for point in points {
            prefixes.write(point.blocks, point.lifetime);
            let tokens = prompt.tokens_before(point.blocks);
            let new = tokens.saturating_sub(covered);
            covered = covered.max(tokens);
            match point.lifetime {
                Lifetime::Hour => result.written_1h += new,
                Lifetime::FiveMinutes | Lifetime::Implicit => result.written_5m += new,
            }
        }
        result.plain = prompt.tokens().saturating_sub(covered);
        result
    }
}

/// The prefixes of one request in the cache.
struct Prefixes<'a> {
    ends: &'a mut HashMap<Key, SystemTime>,
    scope: Scope<'a>,
    prompt: &'a Prompt,
    now: SystemTime,
}

impl Prefixes<'_> {
    fn key(&self, blocks: usize, lifetime: Lifetime) -> Key {
        let Scope {
            account,
            region,
            model,
        } = self.scope;
        let hash = self.prompt.hash_before(blocks);
        (format!("{account} {region} {model} {hash}"), lifetime)
    }

    /// The tokens that a point reads; rule cache-lookback, rule cache-lifetimes.
    fn read(&mut self, point: Point, lookback: usize) -> Option<usize> {
        let nearest = (1..=point.blocks).rev().take(lookback);
        for blocks in nearest {
            let key = self.key(blocks, point.lifetime);
            if let Some(end) = self.ends.get_mut(&key) {
                *end = self.now + point.lifetime.duration();
                return Some(self.prompt.tokens_before(blocks));
            }
        }
        None
    }

    fn write(&mut self, blocks: usize, lifetime: Lifetime) {
        let key = self.key(blocks, lifetime);
        self.ends.insert(key, self.now + lifetime.duration());
    }

    fn implicit(&mut self) -> CacheUse {
        let total = self.prompt.tokens();
        let last = self.prompt.blocks();
        let point = Point {
            blocks: last,
            lifetime: Lifetime::Implicit,
        };
        let read = self.read(point, last).unwrap_or(0);
        let read = read - read % IMPLICIT_STEP;
        for blocks in 1..=last {
            if self.prompt.tokens_before(blocks) >= IMPLICIT_MINIMUM {
                self.write(blocks, Lifetime::Implicit);
            }
        }
        CacheUse {
            plain: total - read,
            read,
            ..CacheUse::default()
        }
    }
}

#[cfg(test)]
mod tests;
