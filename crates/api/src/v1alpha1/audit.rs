//! The audit stream of a gateway.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::config;

/// Audit records of the gateway: one JSON line for each request on the standard output of the gateway's container. Logs are
/// on standard error.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuditSpec {
    /// Include the bodies of requests, up to 256 KiB each. They contain prompts. Default: false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prompts: Option<bool>,
    /// Regular expressions in the syntax of RE2. Their matches in texts of prompts are replaced by `[REDACTED]`.
    #[schemars(length(max = 32), inner(length(min = 1, max = 256)), extend("x-kubernetes-list-type" = "atomic"))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
}

impl From<&AuditSpec> for config::Audit {
    fn from(spec: &AuditSpec) -> Self {
        Self {
            prompts: spec.prompts.unwrap_or(false),
            redact: spec.redact.clone(),
            ..Self::default()
        }
    }
}
