//! Adapts requests to Bedrock's own Responses endpoints, and restores their responses.
//!
//! The body is forwarded byte for byte except for the model, unless it contains what these endpoints reject:
//! `additional_tools` items (<https://github.com/BerriAI/litellm/pull/33228>), tools of type `custom`
//! (<https://github.com/openai/codex/issues/19416>) and namespaces with reserved names
//! (<https://github.com/maximhq/bifrost/pull/7039>). Tools of such items move to `tools`, custom tools become functions
//! with one string argument, and reserved namespaces get another name; calls are returned as the client declared them.
//! Such a body is serialized again: the order of members stays, the text of numbers can change (`1.00` becomes `1.0`).

mod restore;

use serde_json::{Map, Value, json};

use super::decode::{GRAMMAR, INPUT, INPUT_SCHEMA, with_grammar};
use crate::translation::{RequestError, warnings::Warnings, with_model};

pub use restore::{PassthroughStream, Restorer};

/// Namespaces of tools that Bedrock runs.
const RESERVED: [&str; 4] = ["browser", "image_gen", "python", "web"];
/// Before a reserved name.
const RENAMED: &str = "client_";
/// Strings without which a body needs no changes.
const SIGNS: [&str; 3] = ["additional_tools", "\"custom", "\"namespace\""];

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
pub fn adapt(body: &[u8], model: &str, strict: bool) -> Result<Adapted, RequestError> {
    let mut warnings = Warnings::new(strict);
    let text = std::str::from_utf8(body).unwrap_or_default();
    if SIGNS.iter().any(|sign| text.contains(sign))
        && let Ok(Value::Object(mut request)) = serde_json::from_str(text)
    {
        let mut restorer = Restorer::default();
        if change(&mut request, &mut restorer, &mut warnings)? {
            request.insert("model".to_owned(), model.into());
            return Ok(Adapted {
                body: Value::Object(request).to_string().into_bytes(),
                warnings: warnings.into_vec(),
                restorer,
            });
        }
    }
    Ok(Adapted {
        body: with_model(body, model)?,
        warnings: Vec::new(),
        restorer: Restorer::default(),
    })
}

/// Changes the request where necessary; `false` if nothing was changed.
fn change(
    request: &mut Map<String, Value>,
    restorer: &mut Restorer,
    warnings: &mut Warnings,
) -> Result<bool, RequestError> {
    let mut changed = hoist(request);
    if let Some(Value::Array(tools)) = request.get_mut("tools") {
        changed |= change_tools(tools, None, restorer, warnings)?;
    }
    if let Some(Value::Array(items)) = request.get_mut("input") {
        for item in items {
            changed |= rename(item, "namespace");
            match item.get("type").and_then(Value::as_str) {
                Some("custom_tool_call") => {
                    let input = item.get("input").cloned().unwrap_or_default();
                    set(item, "type", "function_call".into());
                    set(
                        item,
                        "arguments",
                        json!({ INPUT: input }).to_string().into(),
                    );
                    remove(item, &["id", "input"]);
                }
                Some("custom_tool_call_output") => {
                    set(item, "type", "function_call_output".into());
                    remove(item, &["id", "name"]);
                }
                Some("tool_search_output") => {
                    if let Some(Value::Array(tools)) = item.get_mut("tools") {
                        changed |= change_tools(tools, None, restorer, warnings)?;
                    }
                    continue;
                }
                _ => continue,
            }
            changed = true;
        }
    }
    if let Some(choice) = request.get_mut("tool_choice") {
        changed |= change_choice(choice);
    }
    Ok(changed)
}

/// Moves the tools of `additional_tools` items to `tools`; a tool that is there already stays.
fn hoist(request: &mut Map<String, Value>) -> bool {
    let mut found = Vec::new();
    let is_list = |item: &Value| {
        item.get("type")
            .is_some_and(|kind| kind == "additional_tools")
    };
    let Some(Value::Array(items)) = request.get_mut("input") else {
        return false;
    };
    let before = items.len();
    for item in items.iter_mut().filter(|item| is_list(item)) {
        if let Some(Value::Array(tools)) = item.get_mut("tools") {
            found.append(tools);
        }
    }
    items.retain(|item| !is_list(item));
    if items.len() == before {
        return false;
    }
    let tools = request
        .entry("tools")
        .or_insert_with(|| Value::Array(Vec::new()));
    if tools.is_null() {
        *tools = Value::Array(Vec::new());
    }
    if let Value::Array(tools) = tools {
        for tool in found {
            add(tools, tool);
        }
    }
    true
}

/// Adds a tool, or the tools of a namespace, that the list does not have.
fn add(tools: &mut Vec<Value>, mut tool: Value) {
    let same = |one: &&mut Value| {
        ["type", "name"]
            .iter()
            .all(|member| one.get(member) == tool.get(member))
    };
    match tools.iter_mut().find(same).map(|one| one.get_mut("tools")) {
        None => tools.push(tool),
        Some(Some(Value::Array(inside))) => {
            if let Some(Value::Array(more)) = tool.get_mut("tools") {
                for one in std::mem::take(more) {
                    add(inside, one);
                }
            }
        }
        Some(_) => {}
    }
}

/// Renames reserved namespaces, and makes functions of custom tools.
fn change_tools(
    tools: &mut [Value],
    namespace: Option<&str>,
    restorer: &mut Restorer,
    warnings: &mut Warnings,
) -> Result<bool, RequestError> {
    let mut changed = false;
    for tool in tools {
        match tool.get("type").and_then(Value::as_str) {
            Some("namespace") => {
                if rename(tool, "name") {
                    restorer.set_renamed();
                    changed = true;
                }
                let name = tool.get("name").and_then(Value::as_str);
                let name = name.unwrap_or_default().to_owned();
                if let Some(Value::Array(inside)) = tool.get_mut("tools") {
                    changed |= change_tools(inside, Some(&name), restorer, warnings)?;
                }
            }
            Some("custom") => {
                let name = tool.get("name").and_then(Value::as_str);
                restorer.add_custom(namespace, name.unwrap_or_default());
                function(tool, warnings)?;
                changed = true;
            }
            _ => {}
        }
    }
    Ok(changed)
}

/// Makes a function of a custom tool; its grammar becomes part of the description.
fn function(tool: &mut Value, warnings: &mut Warnings) -> Result<(), RequestError> {
    let member = |name: &str| {
        let format = tool.get("format")?;
        format.get(name)?.as_str()
    };
    if let Some(definition) = member("definition") {
        let syntax = member("syntax").unwrap_or_default();
        let description = tool.get("description").and_then(Value::as_str);
        let both = with_grammar(description.unwrap_or_default(), syntax, definition);
        warnings.changed("tools[].format", GRAMMAR)?;
        set(tool, "description", both.into());
    }
    remove(tool, &["format"]);
    set(tool, "type", "function".into());
    let schema = serde_json::from_str(INPUT_SCHEMA).unwrap_or_default();
    set(tool, "parameters", schema);
    set(tool, "strict", false.into());
    Ok(())
}

/// The choice of a custom tool becomes the choice of a function.
fn change_choice(choice: &mut Value) -> bool {
    let mut changed = rename(choice, "namespace");
    match choice.get("type").and_then(Value::as_str) {
        Some("custom") => {
            set(choice, "type", "function".into());
            changed = true;
        }
        Some("namespace") => changed |= rename(choice, "name"),
        _ => {}
    }
    if let Some(Value::Array(tools)) = choice.get_mut("tools") {
        for tool in tools {
            changed |= change_choice(tool);
        }
    }
    changed
}

/// Renames a reserved namespace in a member.
fn rename(object: &mut Value, member: &str) -> bool {
    let name = object.get(member).and_then(Value::as_str);
    let Some(name) = name.filter(|name| RESERVED.contains(name)) else {
        return false;
    };
    let renamed = format!("{RENAMED}{name}");
    set(object, member, renamed.into());
    true
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
