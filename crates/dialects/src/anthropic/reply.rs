//! What decoding a Messages request keeps for encoding its response.

use crate::translation::reply::ReplyCore;

/// Passed from decoding to encoding; small, owned and cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ReplyContext {
    pub(super) core: ReplyCore,
    /// The stop sequence, if the request has exactly one; a stop reason of `stop_sequence` then means this one.
    pub(super) only_stop: Option<String>,
}
