//! What decoding a Responses request keeps for encoding its response.

use std::{collections::BTreeSet, fmt};

use super::super::names;
use crate::translation::reply::ReplyCore;

/// How calls of tools are returned that are not functions, by Bedrock's names of the tools.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallForms {
    /// Custom tools, whose input is free text.
    pub(super) custom: BTreeSet<String>,
    /// The client's search for tools.
    pub(super) search: Option<String>,
}

/// The form of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallForm {
    Function,
    /// Its arguments contain the free text.
    Custom,
    ToolSearch,
}

/// Passed from decoding to encoding; small, owned and cheap to move.
#[derive(Clone, Default)]
pub struct ReplyContext {
    core: ReplyCore,
    calls: CallForms,
    summary: bool,
    /// The members of the response that repeat the request: `"k":v,…,`.
    echo: String,
}

impl fmt::Debug for ReplyContext {
    /// Omits the echo, because it contains the client's instructions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReplyContext")
            .field("core", &self.core)
            .field("calls", &self.calls)
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl ReplyContext {
    pub(super) const fn new(
        core: ReplyCore,
        calls: CallForms,
        summary: bool,
        echo: String,
    ) -> Self {
        Self {
            core,
            calls,
            summary,
            echo,
        }
    }

    /// The part that all dialects share.
    pub(crate) const fn core(&self) -> &ReplyCore {
        &self.core
    }

    /// The form of a call of a tool, given Bedrock's name.
    pub(crate) fn call_form(&self, upstream: &str) -> CallForm {
        if self.calls.custom.contains(upstream) {
            CallForm::Custom
        } else if self.calls.search.as_deref() == Some(upstream) {
            CallForm::ToolSearch
        } else {
            CallForm::Function
        }
    }

    /// The client's namespace and name of a tool, given Bedrock's name.
    pub(crate) fn tool_name<'n>(&'n self, upstream: &'n str) -> (Option<&'n str>, &'n str) {
        names::split(self.core.original_tool_name(upstream))
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
        let context = ReplyContext::new(core, CallForms::default(), false, echo);
        assert!(!format!("{context:?}").contains("secret"));
    }
}
