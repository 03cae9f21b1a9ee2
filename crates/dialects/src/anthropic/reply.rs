//! What the way back has to know about the request.

use crate::translation::names::ToolNames;

/// Kept from decoding to encoding; small, owned, cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ReplyContext {
    pub(super) names: ToolNames,
    /// Upstream name of the tool whose arguments are the answer (structured output without a native
    /// form).
    pub(super) schema_tool: Option<String>,
    /// Whether the model at times writes calls of tools into its text.
    pub(super) reads_calls_in_text: bool,
    /// The stop sequence, where there is one only: then it was this one that was met.
    pub(super) only_stop: Option<String>,
}

impl ReplyContext {
    pub(super) fn is_schema_tool(&self, upstream: &str) -> bool {
        self.schema_tool.as_deref() == Some(upstream)
    }
}
