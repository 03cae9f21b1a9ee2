//! Adapts requests to Bedrock's own Responses endpoints, and restores their responses.
//!
//! The body is forwarded byte for byte except for the model, unless it contains what these endpoints reject:
//! - tools of type `custom` (<https://github.com/openai/codex/issues/19416>): they become functions with one string
//!   argument, as a client's search for tools becomes a function;
//! - namespaces with reserved names (<https://github.com/maximhq/bifrost/pull/7039>,
//!   <https://github.com/BerriAI/litellm/issues/36545>): they get another name. gpt-oss has no namespaces
//!   (<https://github.com/openai/codex/issues/25034>): their functions get one name each; tools that OpenAI runs are
//!   dropped for gpt-oss;
//! - items that only OpenAI knows (<https://github.com/BerriAI/litellm/issues/36546>,
//!   <https://github.com/BerriAI/litellm/pull/33228>): their tools move to `tools`, their content to known items.
//!
//! Calls are returned as the client declared them. In such a body the order of members stays, and so does the text of
//! every tool, item and other member that is not adapted itself.

mod body;
mod items;
mod restore;
mod tools;

use serde_json::Value;

use crate::{
    families::ModelCapabilities,
    translation::{RequestError, names::ToolNames, warnings::Warnings, with_model},
};

use body::{Element, Members, Parts};
pub use restore::{PassthroughStream, Restorer};

/// Strings without which a body needs no changes.
const SIGNS: [&str; 10] = [
    "additional_tools",
    "\"agent_message\"",
    "\"code_interpreter\"",
    "\"context_compaction\"",
    "\"custom",
    "\"image_generation\"",
    "\"local_shell_call\"",
    "\"namespace\"",
    "\"tool_search",
    "\"web_search",
];

/// A request for Bedrock's own endpoint.
#[derive(Debug)]
pub struct Adapted {
    /// The upstream body.
    pub body: Vec<u8>,
    /// Warnings about changes that the client may notice.
    pub warnings: Vec<String>,
    /// Restores the response.
    pub restorer: Restorer,
}

/// Adapts a request for `model`. `strict`: whether to reject changes that the client may notice.
///
/// # Errors
/// When the body is not a JSON object or has no model, or in strict mode.
pub fn adapt(
    body: &[u8],
    model: &str,
    capabilities: &ModelCapabilities,
    strict: bool,
) -> Result<Adapted, RequestError> {
    let text = simdutf8::basic::from_utf8(body).unwrap_or_default();
    let mut adapter = Adapter {
        namespaces: capabilities.tools.namespaces,
        title: &capabilities.title,
        names: ToolNames::new(),
        restorer: Restorer::default(),
        warnings: Warnings::new(strict),
        changed: false,
    };
    if SIGNS.iter().any(|sign| text.contains(sign))
        && let Ok(members) = serde_json::from_str::<Members<'_>>(text)
    {
        let mut parts = members.parts();
        adapter.request(&mut parts)?;
        if adapter.changed {
            return Ok(Adapted {
                body: members.with(&parts, model).into_bytes(),
                warnings: adapter.warnings.into_vec(),
                restorer: adapter.restorer,
            });
        }
    }
    Ok(Adapted {
        body: with_model(body, model)?,
        warnings: Vec::new(),
        restorer: adapter.restorer,
    })
}

/// State of adapting one request.
struct Adapter<'o> {
    /// Whether the model supports namespaces.
    namespaces: bool,
    /// The name of the model's family.
    title: &'o str,
    /// Names of functions in namespaces, for models without namespaces.
    names: ToolNames,
    restorer: Restorer,
    warnings: Warnings,
    /// Whether the body differs from the client's.
    changed: bool,
}

impl Adapter<'_> {
    fn request(&mut self, parts: &mut Parts<'_>) -> Result<(), RequestError> {
        self.hoist(parts);
        if let Some(tools) = &mut parts.tools {
            self.tools(tools)?;
        }
        if let Some(items) = &mut parts.items {
            self.items(items)?;
        }
        if let Some(choice) = &mut parts.choice {
            self.choice(choice)?;
        }
        Ok(())
    }

    /// Adapts an element, and drops its text if that changes it.
    fn element<T>(
        &mut self,
        element: &mut Element<'_>,
        adapt: impl FnOnce(&mut Self, &mut Value) -> Result<T, RequestError>,
    ) -> Result<T, RequestError> {
        let changed = std::mem::take(&mut self.changed);
        let result = adapt(self, &mut element.value)?;
        if self.changed {
            element.changed();
        }
        self.changed |= changed;
        Ok(result)
    }
}

fn text<'v>(object: &'v Value, member: &str) -> Option<&'v str> {
    object.get(member).and_then(Value::as_str)
}

fn set(object: &mut Value, member: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(member.to_owned(), value);
    }
}

fn remove(object: &mut Value, members: &[&str]) {
    if let Value::Object(object) = object {
        for member in members {
            object.shift_remove(*member);
        }
    }
}

#[cfg(test)]
mod tests;
