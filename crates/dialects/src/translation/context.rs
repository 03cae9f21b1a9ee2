//! State that all parts of decoding a request share.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{
    error::RequestError,
    json::{FieldPath, Json, Object},
    names::ToolNames,
    options::{DecodeOptions, Fetch},
    warnings::Warnings,
};
use crate::families::{BedrockApi, BedrockApis, ModelCapabilities};

/// A dialect's field names, for warnings and errors.
#[derive(Debug)]
pub(crate) struct FieldNames {
    pub(crate) conversation: &'static str,
    /// Tool calls in the conversation.
    pub(crate) calls: &'static str,
    /// Arguments of tool calls.
    pub(crate) arguments: &'static str,
    /// The call id in a tool result.
    pub(crate) result_id: &'static str,
    /// The object with a tool's name and schema.
    pub(crate) function: &'static str,
    pub(crate) effort: &'static str,
    /// The blocks or items that replay reasoning.
    pub(crate) replay: &'static str,
}

/// State that all parts of decoding share.
#[derive(Debug)]
pub(crate) struct Context<'o> {
    pub(crate) capabilities: &'o ModelCapabilities,
    pub(crate) field_names: &'static FieldNames,
    pub(crate) options: &'o DecodeOptions<'o>,
    pub(crate) warnings: Warnings,
    pub(crate) names: ToolNames,
    /// Bedrock's names of the declared tools.
    pub(crate) declared: BTreeSet<String>,
    /// Bedrock's names of the tools called in the conversation, in order.
    pub(crate) history: Vec<String>,
    in_history: BTreeSet<String>,
    pub(crate) fetches: Vec<Fetch>,
    pub(crate) images: usize,
    pub(crate) documents: Vec<NamedDocument>,
    /// Whether media that the model does not support are replaced by a line of text: in tool results and in earlier
    /// turns, which the client would send again and again.
    pub(crate) replaces_media: bool,
}

/// A document's name for Bedrock, and the name that the client gave it.
#[derive(Clone, Debug)]
pub(crate) struct NamedDocument {
    pub(crate) upstream: String,
    pub(crate) client: Option<String>,
}

impl<'o> Context<'o> {
    pub(crate) const fn new(
        options: &'o DecodeOptions<'o>,
        field_names: &'static FieldNames,
    ) -> Self {
        Self {
            capabilities: options.capabilities,
            field_names,
            options,
            warnings: Warnings::new(options.strict),
            names: ToolNames::new(),
            declared: BTreeSet::new(),
            history: Vec::new(),
            in_history: BTreeSet::new(),
            fetches: Vec::new(),
            images: 0,
            documents: Vec::new(),
            replaces_media: false,
        }
    }

    /// Drops the remaining members of an object with a warning for each, except empty ones.
    pub(crate) fn drop_unknown(
        &mut self,
        rest: Object<'_>,
        at: &FieldPath<'_>,
    ) -> Result<(), RequestError> {
        for (key, value) in rest.rest() {
            let empty = match &value {
                Json::Array(items) => items.is_empty(),
                Json::String(text) => text.is_empty(),
                Json::Bool(flag) => !flag,
                _ => false,
            };
            if !empty {
                self.warnings
                    .dropped(&at.key(&key).to_string(), "not supported by Bedrock")?;
            }
        }
        Ok(())
    }

    /// Records that a tool was called in the conversation.
    pub(crate) fn tool_history(&mut self, name: &str) {
        if self.in_history.insert(name.to_owned()) {
            self.history.push(name.to_owned());
        }
    }
}

/// Rejects a model that Converse does not serve to a dialect; the error names the endpoint to use instead.
pub(crate) fn check_converse(
    capabilities: &ModelCapabilities,
    api: Option<BedrockApi>,
) -> Result<(), RequestError> {
    match api {
        api if BedrockApis::by_converse(api) => Ok(()),
        None => Err(RequestError::unsupported(
            "model",
            format!(
                "{} does not support this endpoint: {}",
                capabilities.title,
                capabilities.apis.advice()
            ),
        )),
        Some(_) => Err(RequestError::unsupported(
            "model",
            format!(
                "Bedrock does not serve {} models by Converse",
                capabilities.title
            ),
        )),
    }
}

/// Merges objects recursively; replaces other values.
pub(crate) fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}
