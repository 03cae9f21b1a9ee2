//! What the way back has to know about the request.

use crate::openai;

/// Kept from decoding to encoding; small, owned, cheap to move.
#[derive(Clone, Debug, Default)]
pub struct ReplyContext {
    shared: openai::ReplyContext,
    /// Bedrock's names of tools that take free text.
    custom: Vec<String>,
    summary: bool,
    /// Members of the response that repeat the request: `"k":v,…,`.
    echo: String,
}

impl ReplyContext {
    pub(super) const fn new(
        shared: openai::ReplyContext,
        custom: Vec<String>,
        summary: bool,
        echo: String,
    ) -> Self {
        Self {
            shared,
            custom,
            summary,
            echo,
        }
    }

    /// What both endpoints of OpenAI's need.
    pub(crate) const fn shared(&self) -> &openai::ReplyContext {
        &self.shared
    }

    /// Whether a tool takes free text, given Bedrock's name.
    pub(crate) fn is_custom(&self, upstream: &str) -> bool {
        self.custom.iter().any(|name| name == upstream)
    }

    /// Whether reasoning is shown as a summary; else it is shown as such.
    pub(crate) const fn summary(&self) -> bool {
        self.summary
    }

    /// Members of the response that repeat the request.
    pub(crate) fn echo(&self) -> &str {
        &self.echo
    }
}
