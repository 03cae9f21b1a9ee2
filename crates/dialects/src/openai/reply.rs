//! What decoding a Chat Completions request keeps for encoding its response.

use crate::translation::reply::ReplyCore;

/// `format` of the entries of `reasoning_details`: signed by Claude, or by another model with such signatures.
pub(super) const DETAIL_FORMAT: &str = "anthropic-claude-v1";

/// Passed from decoding to encoding; small, owned and cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ReplyContext {
    core: ReplyCore,
    include_usage: bool,
}

impl ReplyContext {
    pub(super) const fn new(core: ReplyCore, include_usage: bool) -> Self {
        Self {
            core,
            include_usage,
        }
    }

    pub(super) const fn core(&self) -> &ReplyCore {
        &self.core
    }

    /// Whether the client requested a final chunk with usage.
    pub const fn include_usage(&self) -> bool {
        self.include_usage
    }
}
