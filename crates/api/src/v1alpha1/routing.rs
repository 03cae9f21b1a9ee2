//! Distribution of requests among the targets of a model.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config;

/// How requests are distributed among the targets of a model.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RoutingSpec {
    /// Send all requests of a conversation to the target that holds its prompt cache, as long as that target works. If
    /// false, the gateway selects a target at random for each request. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_conversations: Option<bool>,
    /// Consecutive failures (throttling, errors of Bedrock, timeouts, broken streams) after which the gateway ejects a
    /// target of a model with several targets. Requests then prefer the other targets. 0 means never. Default: 5.
    #[schemars(range(min = 0, max = 1000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject_after_failures: Option<u32>,
    /// Time in seconds of the first ejection of a target. Each further ejection takes twice as long, up to 5 minutes.
    /// Default: 10.
    #[schemars(range(min = 1, max = 300))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eject_seconds: Option<u64>,
    /// Time in seconds without a first event after which the gateway also requests a stream from the next target. It uses
    /// the first response; Bedrock bills both. If not set, the gateway sends no second request.
    #[schemars(range(min = 1, max = 600))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hedge_after_seconds: Option<u64>,
}

impl From<&RoutingSpec> for config::Routing {
    fn from(spec: &RoutingSpec) -> Self {
        let default = Self::default();
        Self {
            sticky_conversations: spec
                .sticky_conversations
                .unwrap_or(default.sticky_conversations),
            eject_after_failures: spec
                .eject_after_failures
                .unwrap_or(default.eject_after_failures),
            eject_seconds: spec.eject_seconds.unwrap_or(default.eject_seconds),
            hedge_after_seconds: spec.hedge_after_seconds,
        }
    }
}
