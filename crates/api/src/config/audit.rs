//! The audit stream of a gateway.

use serde::{Deserialize, Serialize};

/// Where the gateway writes one record for each request, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Audit {
    /// Path of a file, which is appended to and opened again after a rotation, or `-` for standard output, which
    /// `OTEL_LOGS_EXPORTER=otlp` in the environment replaces by a collector of OpenTelemetry.
    pub output: String,
    /// Include the bodies of requests, up to 256 KiB each. They contain prompts.
    #[serde(skip_serializing_if = "super::is_false")]
    pub prompts: bool,
    /// Regular expressions. Their matches in texts of prompts are replaced by `[REDACTED]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub redact: Vec<String>,
}

impl Audit {
    /// The output that stands for standard output.
    pub const STDOUT: &str = "-";
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            output: Self::STDOUT.to_owned(),
            prompts: false,
            redact: Vec::new(),
        }
    }
}
