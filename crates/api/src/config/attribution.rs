//! What a gateway tells AWS about its requests.

use serde::{Deserialize, Serialize};

/// What the gateway tells AWS about the origin of requests, for invocation logs and cost reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Attribution {
    /// Add namespace, `BedrockAccess`, client and request id to `requestMetadata` of Converse and InvokeModel. If absent,
    /// only if the document has `access`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<bool>,
    /// Pass namespace and name of the `BedrockAccess` as session tags of `sts:AssumeRole`. The caller and the trust policy
    /// need `sts:TagSession`.
    #[serde(skip_serializing_if = "super::is_false")]
    pub session_tags: bool,
}

impl Attribution {
    /// Whether all fields have their defaults.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
