//! Items of `input` that Bedrock's endpoints do not know.

use serde_json::{Value, json};

use super::{
    Adapter,
    body::{Element, Parts},
    remove, set, text,
};
use crate::{
    responses::decode::{INPUT, TOOL_SEARCH},
    translation::RequestError,
};

/// Items with tools, which Bedrock gets in `tools`.
const WITH_TOOLS: [&str; 2] = ["additional_tools", "tool_search_output"];

impl Adapter<'_> {
    /// Moves the tools of items to `tools`; a tool that is there already stays.
    pub(super) fn hoist(&mut self, parts: &mut Parts<'_>) {
        let Some(items) = &mut parts.items else {
            return;
        };
        let mut found = Vec::new();
        for item in items.iter() {
            if text(&item.value, "type").is_some_and(|kind| WITH_TOOLS.contains(&kind))
                && let Some(Value::Array(tools)) = item.value.get("tools")
            {
                self.changed = true;
                // The names stay, for the text of the result.
                found.extend(tools.iter().cloned());
            }
        }
        let before = items.len();
        items.retain(|item| text(&item.value, "type") != Some("additional_tools"));
        self.changed |= items.len() != before;
        if !found.is_empty() {
            super::tools::merge(parts.tools.get_or_insert_default(), found);
        }
    }

    /// Replaces items by items that Bedrock knows.
    pub(super) fn items(&mut self, items: &mut Vec<Element<'_>>) -> Result<(), RequestError> {
        let mut kept = Vec::with_capacity(items.len());
        for mut item in items.drain(..) {
            if self.element(&mut item, Self::item)? {
                kept.push(item);
            }
        }
        *items = kept;
        Ok(())
    }

    /// Adapts an item; `false` if it has no place.
    fn item(&mut self, item: &mut Value) -> Result<bool, RequestError> {
        let kind = text(item, "type").unwrap_or_default().to_owned();
        match kind.as_str() {
            "function_call" => {
                self.name_of(item);
                return Ok(true);
            }
            "custom_tool_call" => {
                self.name_of(item);
                let arguments = match item.get(INPUT).filter(|input| !input.is_null()) {
                    Some(input) => json!({ INPUT: input }),
                    None => json!({ INPUT: "" }),
                };
                set(item, "type", "function_call".into());
                let arguments = arguments.to_string();
                set(item, "arguments", arguments.into());
                remove(item, &["id", INPUT]);
            }
            "custom_tool_call_output" => {
                set(item, "type", "function_call_output".into());
                remove(item, &["id", "name"]);
            }
            "tool_search_call" | "tool_search_output"
                if item.get("call_id").is_none_or(Value::is_null) =>
            {
                // OpenAI ran this search; the tools that it found are declared.
                self.changed = true;
                return Ok(false);
            }
            "tool_search_call" => {
                let arguments = arguments(item.get("arguments"));
                set(item, "type", "function_call".into());
                set(item, "name", TOOL_SEARCH.into());
                set(item, "arguments", arguments.into());
                remove(item, &["id", "execution"]);
            }
            "tool_search_output" => {
                let found = item.get("tools").and_then(Value::as_array);
                let names: Vec<&str> = found
                    .into_iter()
                    .flatten()
                    .filter_map(|tool| text(tool, "name"))
                    .collect();
                let output = match names.join(", ") {
                    names if names.is_empty() => "No tool was found.".to_owned(),
                    names => format!("These tools are available now: {names}"),
                };
                set(item, "type", "function_call_output".into());
                set(item, "output", output.into());
                remove(item, &["id", "execution", "tools"]);
            }
            "local_shell_call" => {
                let action = arguments(item.get("action"));
                set(item, "type", "function_call".into());
                set(item, "name", "local_shell".into());
                set(item, "arguments", action.into());
                remove(item, &["id", "action"]);
            }
            "agent_message" => return self.agent_message(item),
            "context_compaction" => set(item, "type", "compaction".into()),
            _ => return Ok(true),
        }
        self.changed = true;
        Ok(true)
    }

    /// A message of another agent becomes a message of the assistant.
    fn agent_message(&mut self, item: &mut Value) -> Result<bool, RequestError> {
        self.changed = true;
        let parts = item.get("content").and_then(Value::as_array);
        let words: String = parts
            .into_iter()
            .flatten()
            .filter_map(|part| text(part, "text").or_else(|| text(part, "encrypted_content")))
            .collect();
        if words.is_empty() {
            let why = "agent_message is an item without text";
            self.warnings.dropped("input[]", why)?;
            return Ok(false);
        }
        *item = json!({ "type": "message", "role": "assistant",
            "content": [{ "type": "output_text", "text": words }] });
        Ok(true)
    }
}

/// The arguments of a function as text.
fn arguments(given: Option<&Value>) -> String {
    match given {
        None | Some(Value::Null) => "{}".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}
