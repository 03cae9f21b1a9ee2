//! What the way back has to know about the request.

use super::names::ToolNames;

/// Kept from decoding to encoding; small, owned, cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ReplyContext {
    names: ToolNames,
    /// Upstream name of the tool whose arguments are the answer (structured output without a native
    /// form).
    schema_tool: Option<String>,
    include_usage: bool,
    reads_calls_in_text: bool,
}

impl ReplyContext {
    pub(crate) const fn new(
        names: ToolNames,
        schema_tool: Option<String>,
        include_usage: bool,
        reads_calls_in_text: bool,
    ) -> Self {
        Self {
            names,
            schema_tool,
            include_usage,
            reads_calls_in_text,
        }
    }

    /// The client's name of a tool, given Bedrock's.
    pub(crate) fn original_tool_name<'n>(&'n self, upstream: &'n str) -> &'n str {
        self.names.original(upstream)
    }

    /// Whether a tool is not the client's but carries the answer.
    pub(crate) fn is_schema_tool(&self, upstream: &str) -> bool {
        self.schema_tool.as_deref() == Some(upstream)
    }

    /// Whether text is to wait, since the answer may come as arguments of a tool.
    pub(crate) const fn holds_text(&self) -> bool {
        self.schema_tool.is_some()
    }

    /// Whether the model at times writes calls of tools into its text.
    pub(crate) const fn reads_calls_in_text(&self) -> bool {
        self.reads_calls_in_text
    }

    /// Whether the client asked for a final chunk with usage.
    pub const fn include_usage(&self) -> bool {
        self.include_usage
    }
}
