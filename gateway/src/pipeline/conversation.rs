//! Conversations: which target holds the cache of a conversation, and why a cached prefix was not read.
//!
//! Only hashes of requests are kept, in bounded memory. See ADR-0029.

mod difference;
mod memory;
mod outline;
mod placements;

use std::time::Duration;

use api::config::Routing;

pub(crate) use self::{
    difference::{Part, of_outlines as compare},
    memory::{CacheBreak, Conversation, Conversations},
    outline::Outline,
    placements::Placements,
};

/// The lifetime of a cache point without `ttl`.
const SHORT: Duration = Duration::from_mins(5);
/// The lifetime of a cache point with `ttl: 1h`.
const LONG: Duration = Duration::from_hours(1);

#[cfg(test)]
mod simulation;

/// How the targets of a request are ordered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Affinity {
    /// Key of the rendezvous hash: the conversation, or random.
    pub(crate) key: u64,
    /// How long a target keeps the cache of the conversation; `None` if the key is random.
    lifetime: Option<Duration>,
    /// The first target by rendezvous hashing; 0 before it is known, and with one target.
    home: u64,
}

impl Affinity {
    /// Any target, at random.
    pub(crate) fn random() -> Self {
        Self {
            key: fastrand::u64(..),
            lifetime: None,
            home: 0,
        }
    }

    /// The target of the conversation, if the request has an outline.
    pub(crate) fn new(outline: Option<&Outline>, model: &str, routing: &Routing) -> Self {
        let outline = outline.filter(|_| routing.sticky_conversations);
        outline.map_or_else(Self::random, |outline| Self {
            home: 0,
            key: outline.conversation(model),
            lifetime: Some(if outline.points.is_long() {
                LONG
            } else {
                SHORT
            }),
        })
    }
}
