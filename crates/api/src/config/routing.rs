//! Distribution of requests among targets in the configuration document.

use serde::{Deserialize, Serialize};

/// How requests are distributed among the targets of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Routing {
    /// Send all requests of a conversation to the target that holds its prompt cache, as long as that target works. If
    /// false, a target is selected at random for each request.
    pub sticky_conversations: bool,
    /// Consecutive failures after which a target is ejected: throttling, errors of the service, timeouts and broken
    /// streams. 0 means never.
    pub eject_after_failures: u32,
    /// Time in seconds of the first ejection. Each further ejection takes twice as long, up to 5 minutes.
    pub eject_seconds: u64,
    /// Time in seconds without a first event after which a stream is also requested from the next target. The first response
    /// is used, and Bedrock bills both. If absent, never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hedge_after_seconds: Option<u64>,
}

impl Routing {
    /// Whether all fields have their defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for Routing {
    fn default() -> Self {
        Self {
            sticky_conversations: true,
            eject_after_failures: 5,
            eject_seconds: 10,
            hedge_after_seconds: None,
        }
    }
}
