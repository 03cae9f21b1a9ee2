//! What a gateway tells AWS about its requests.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config;

/// What the gateway tells AWS about the origin of requests.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttributionSpec {
    /// Add namespace, BedrockAccess, client and request id to requestMetadata of Converse and InvokeModel. AWS writes them
    /// into the model invocation log. Default: true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_metadata: Option<bool>,
    /// Pass namespace and name of the BedrockAccess as session tags of sts:AssumeRole, for cost allocation by IAM principal
    /// tags. Roles that are assumed need sts:TagSession in their trust policy, and the caller needs it in its policy.
    /// AssumeRoleWithWebIdentity cannot carry tags. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_tags: Option<bool>,
}

impl From<&AttributionSpec> for config::Attribution {
    fn from(spec: &AttributionSpec) -> Self {
        Self {
            request_metadata: spec.request_metadata,
            session_tags: spec.session_tags.unwrap_or(false),
        }
    }
}
