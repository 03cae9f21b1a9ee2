//! What decoding a Responses request keeps for encoding its response.

use std::fmt;

use crate::translation::reply::ReplyCore;

/// Passed from decoding to encoding; small, owned and cheap to move.
#[derive(Clone, Default)]
pub struct ReplyContext {
    core: ReplyCore,
    /// Bedrock's names of custom tools, whose input is free text.
    custom: Vec<String>,
    summary: bool,
    /// The members of the response that repeat the request: `"k":v,…,`.
    echo: String,
}

impl fmt::Debug for ReplyContext {
    /// Omits the echo, because it contains the client's instructions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyContext")
            .field("core", &self.core)
            .field("custom", &self.custom)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl ReplyContext {
    pub(super) const fn new(
        core: ReplyCore,
        custom: Vec<String>,
        summary: bool,
        echo: String,
    ) -> Self {
        Self {
            core,
            custom,
            summary,
            echo,
        }
    }

    /// The part that all dialects share.
    pub(crate) const fn core(&self) -> &ReplyCore {
        &self.core
    }

    /// Whether a tool, given Bedrock's name, is a custom tool.
    pub(crate) fn is_custom(&self, upstream: &str) -> bool {
        self.custom.iter().any(|name| name == upstream)
    }

    /// Whether reasoning is returned as a summary; otherwise as `reasoning_text`.
    pub(crate) const fn summary(&self) -> bool {
        self.summary
    }

    /// The members of the response that repeat the request.
    pub(crate) fn echo(&self) -> &str {
        &self.echo
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_output_omits_the_clients_content() {
        let core = ReplyCore::default();
        let echo = "\"instructions\":\"a secret plan\",".to_owned();
        let context = ReplyContext::new(core, Vec::new(), false, echo);
        assert!(!format!("{context:?}").contains("secret"));
    }
}
