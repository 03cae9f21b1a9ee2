//! What the way back has to know about the request.

use std::fmt;

use crate::translation::reply::ReplyCore;

/// Kept from decoding to encoding; small, owned, cheap to move.
#[derive(Clone, Default)]
pub struct ReplyContext {
    core: ReplyCore,
    /// Bedrock's names of tools that take free text.
    custom: Vec<String>,
    summary: bool,
    /// Members of the response that repeat the request: `"k":v,…,`.
    echo: String,
}

impl fmt::Debug for ReplyContext {
    /// Without the echo: it holds the client's instructions.
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

    /// What both endpoints of OpenAI's need.
    pub(crate) const fn core(&self) -> &ReplyCore {
        &self.core
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_of_what_the_client_wrote() {
        let core = ReplyCore::default();
        let echo = "\"instructions\":\"a secret plan\",".to_owned();
        let context = ReplyContext::new(core, Vec::new(), false, echo);
        assert!(!format!("{context:?}").contains("secret"));
    }
}
