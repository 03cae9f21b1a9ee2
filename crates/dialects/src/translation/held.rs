//! Arguments of a streamed call whose names have to be restored: they are held back until the call is complete.

use super::reply::ReplyCore;

/// The arguments of an open call.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Bedrock's name of the tool.
    tool: String,
    text: String,
}

impl Held {
    /// Holds the arguments of a call of `tool`, Bedrock's name, if the request renamed some of them.
    pub(crate) fn new(tool: &str, reply: &ReplyCore) -> Option<Self> {
        reply.renames_arguments(tool).then(|| Self {
            tool: tool.to_owned(),
            text: String::new(),
        })
    }

    pub(crate) fn push(&mut self, piece: &str) {
        self.text.push_str(piece);
    }

    /// All arguments with the client's names; missing arguments are an empty object.
    pub(crate) fn finish(self, reply: &ReplyCore) -> String {
        if self.text.is_empty() {
            return "{}".to_owned();
        }
        reply
            .original_arguments(&self.tool, &self.text)
            .into_owned()
    }
}
