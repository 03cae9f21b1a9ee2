//! Validates `tools` and `tool_choice` like Claude.

use serde_json::Value;

use super::super::catalog::Rules;
use super::super::claude;
use super::super::json::{list, text, unknown_key};
use super::blocks::cache_control;
use super::validate::has_beta;
use super::{Check, extra, reject, required};

/// Prefixes of the types of Anthropic-defined tools that Bedrock supports.
const DEFINED: [&str; 5] = [
    "bash_",
    "computer_",
    "memory_",
    "text_editor_",
    "tool_search_tool_",
];

pub(super) fn check(body: &Value, rules: &Rules) -> Check {
    let mut names: Vec<&str> = Vec::new();
    for (index, tool) in list(body, "tools").iter().enumerate() {
        let path = format!("tools.{index}");
        let kind = text(tool, "type").unwrap_or("custom");
        cache_control(tool, &path)?;
        if kind == "custom" {
            custom(body, tool, &path, rules)?;
        } else if !DEFINED.iter().any(|prefix| kind.starts_with(prefix)) {
            return reject(format!(
                "{path}: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'bash_20250124', 'custom', 'text_editor_20250124', 'text_editor_20250429', 'text_editor_20250728'"
            ));
        }
        let name = text(tool, "name").unwrap_or_default();
        if names.contains(&name) {
            return reject("tools: Tool names must be unique.");
        }
        names.push(name);
    }
    choice(body, &names)
}

fn custom(body: &Value, tool: &Value, path: &str, rules: &Rules) -> Check {
    let mut known = vec![
        "type",
        "name",
        "description",
        "input_schema",
        "cache_control",
    ];
    if rules.structured_output {
        known.push("strict");
    }
    if has_beta(body, "tool-examples-") {
        known.push("input_examples");
    }
    if has_beta(body, "tool-search-tool-") {
        known.push("defer_loading");
    }
    if let Some(name) = unknown_key(tool, &known) {
        return extra(&format!("{path}.custom.{name}"));
    }
    name(text(tool, "name"), &format!("{path}.custom.name"), 128)?;
    let Some(schema) = tool.get("input_schema") else {
        return required(&format!("{path}.custom.input_schema"));
    };
    if text(schema, "type") != Some("object") {
        return reject(format!(
            "{path}.custom.input_schema.type: Input should be 'object'"
        ));
    }
    let path = format!("{path}.custom.input_schema");
    claude::schema::tool(schema, &path, rules).or_else(reject)?;
    if tool.get("strict") == Some(&Value::Bool(true)) {
        claude::schema::exact(schema, &path, rules).or_else(reject)?;
    }
    Ok(())
}

/// Validates the name of a tool.
pub(super) fn name(name: Option<&str>, path: &str, maximum: usize) -> Check {
    let Some(name) = name else {
        return required(path);
    };
    if name.is_empty() {
        return reject(format!("{path}: String should have at least 1 character"));
    }
    if name.chars().count() > maximum {
        return reject(format!(
            "{path}: String should have at most {maximum} characters"
        ));
    }
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.chars().all(legal) {
        return Ok(());
    }
    reject(format!(
        "{path}: String should match pattern '^[a-zA-Z0-9_-]{{1,{maximum}}}$'"
    ))
}

fn choice(body: &Value, names: &[&str]) -> Check {
    let Some(choice) = body.get("tool_choice") else {
        return Ok(());
    };
    let kind = text(choice, "type").unwrap_or_default();
    let known: &[&str] = match kind {
        "auto" | "any" => &["type", "disable_parallel_tool_use"],
        "tool" => &["type", "name", "disable_parallel_tool_use"],
        "none" => &["type"],
        _ => {
            return reject(format!(
                "tool_choice: Input tag '{kind}' found using 'type' does not match any of the expected tags: 'any', 'auto', 'none', 'tool'"
            ));
        }
    };
    if let Some(name) = unknown_key(choice, known) {
        return extra(&format!("tool_choice.{kind}.{name}"));
    }
    if names.is_empty() {
        return reject("tool_choice: may only be specified while providing tools.");
    }
    if kind == "tool" {
        let wanted = text(choice, "name").unwrap_or_default();
        if !names.contains(&wanted) {
            return reject(format!(
                "tool_choice: Tool '{wanted}' not found in provided tools"
            ));
        }
    }
    Ok(())
}
