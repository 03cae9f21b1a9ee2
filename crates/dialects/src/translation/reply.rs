//! What decoding a request keeps for encoding its response, in every dialect.

use std::borrow::Cow;

use super::{context::NamedDocument, names::ToolNames, request::Assembled};

/// Facts about a request's tools that encoding the response needs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReplyCore {
    names: ToolNames,
    /// Bedrock's name of the tool whose arguments are the response (structured output for models that do not
    /// support it natively).
    schema_tool: Option<String>,
    reads_calls_in_text: bool,
    documents: Vec<NamedDocument>,
}

impl ReplyCore {
    pub(crate) fn new(names: ToolNames, assembled: &Assembled<'_>) -> Self {
        Self {
            names,
            schema_tool: assembled.schema_tool.clone(),
            reads_calls_in_text: assembled.reads_calls_in_text,
            documents: Vec::new(),
        }
    }

    /// Adds the documents of the request, whose names occur in citations.
    pub(crate) fn with_documents(self, documents: Vec<NamedDocument>) -> Self {
        Self { documents, ..self }
    }

    /// The client's title of a document, given Bedrock's name; `None` if the client gave none.
    pub(crate) fn document_title(&self, upstream: String) -> Option<String> {
        let mut known = self.documents.iter();
        match known.find(|document| document.upstream == upstream) {
            Some(document) => document.client.clone(),
            None => Some(upstream),
        }
    }

    /// The client's name of a tool, given Bedrock's.
    pub(crate) fn original_tool_name<'n>(&'n self, upstream: &'n str) -> &'n str {
        self.names.original(upstream)
    }

    /// Whether arguments of a tool, given Bedrock's name, have other names for Bedrock; they are restored when the call
    /// is complete.
    pub(crate) fn renames_arguments(&self, tool: &str) -> bool {
        self.names.renames_arguments(tool)
    }

    /// The arguments of a call with the client's names.
    pub(crate) fn original_arguments<'t>(&self, tool: &str, arguments: &'t str) -> Cow<'t, str> {
        self.names.original_arguments(tool, arguments)
    }

    /// Whether a tool, given Bedrock's name, is the schema tool and not one of the client's.
    pub(crate) fn is_schema_tool(&self, upstream: &str) -> bool {
        self.schema_tool.as_deref() == Some(upstream)
    }

    /// Whether text is held back, because the response may arrive as arguments of the schema tool.
    pub(crate) const fn holds_text(&self) -> bool {
        self.schema_tool.is_some()
    }

    /// Whether the text may contain tool calls; see [`super::leak`].
    pub(crate) const fn reads_calls_in_text(&self) -> bool {
        self.reads_calls_in_text
    }
}
