//! Restores the names of arguments in the calls of Claude's own API.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Edits, Slice};
use crate::translation::names::ToolNames;

/// What to restore in the response to a request; nothing by default.
#[derive(Clone, Debug, Default)]
pub struct Restorer {
    names: ToolNames,
}

/// An event of a stream, as far as it is about the arguments of a call.
#[derive(Deserialize)]
pub(super) struct CallEvent<'a> {
    #[serde(borrow, rename = "type")]
    pub(super) kind: Cow<'a, str>,
    #[serde(default)]
    pub(super) index: u64,
    #[serde(borrow)]
    pub(super) content_block: Option<Block<'a>>,
    #[serde(borrow)]
    pub(super) delta: Option<Delta<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Block<'a> {
    #[serde(borrow, rename = "type")]
    kind: Cow<'a, str>,
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
pub(super) struct Delta<'a> {
    #[serde(borrow)]
    pub(super) partial_json: Option<Cow<'a, str>>,
}

impl Restorer {
    pub(super) const fn new(names: ToolNames) -> Self {
        Self { names }
    }

    /// Whether anything has to be restored.
    pub(super) fn is_active(&self) -> bool {
        self.names.renames_any_arguments()
    }

    /// The restored response; `None` if it stays as it is.
    pub fn response(&self, body: &[u8]) -> Option<Vec<u8>> {
        if !self.is_active() {
            return None;
        }
        let text = std::str::from_utf8(body).ok()?;
        let content = Slice::new(text).get("content")?;
        let mut edits = Edits::default();
        for block in content.members() {
            let name = block.value.get("name").and_then(|name| name.string());
            if let Some(tool) = name.filter(|tool| self.names.renames_arguments(tool))
                && let Some(input) = block.value.get("input")
            {
                let original = self.names.original_arguments(&tool, input.json());
                edits.replace(&input, original);
            }
        }
        Some(edits.apply(text).into_bytes())
    }

    /// The name of the tool that a block calls, if the names of its arguments differ.
    pub(super) fn renamed_tool<'b>(&self, block: &'b Block<'_>) -> Option<&'b str> {
        let name = block.name.as_deref()?;
        (block.kind == "tool_use" && self.names.renames_arguments(name)).then_some(name)
    }

    /// The arguments of a call with the client's names.
    pub(super) fn arguments(&self, tool: &str, text: &str) -> String {
        self.names.original_arguments(tool, text).into_owned()
    }
}
