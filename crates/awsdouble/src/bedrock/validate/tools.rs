//! `toolConfig`: specifications, choice, and the family's rules for them.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::catalog::Rules;
use super::super::claude;
use super::{
    Check, blocks, has_tool_blocks, list, malformed, model_rejects, reject, text, unsupported,
};

pub(super) fn check(request: &Value, rules: &Rules, streaming: bool) -> Check {
    let Some(config) = request.get("toolConfig") else {
        if has_tool_blocks(request) {
            return reject(
                "The toolConfig field must be defined when using toolUse and toolResult content blocks.",
            );
        }
        return Ok(());
    };
    if !rules.tools {
        return reject(
            "This model doesn't support tool use. Try again without tools or use a model that supports tool use.",
        );
    }
    if streaming && !rules.streaming_tools {
        return reject("This model doesn't support tool use in streaming mode.");
    }
    let tools = list(config, "tools");
    let mut names = BTreeSet::new();
    for (index, tool) in tools.iter().enumerate() {
        if tool.get("cachePoint").is_some() && !rules.caching.iter().any(|place| place == "tools") {
            return malformed(&format!("#/toolConfig/tools/{index}"), "cachePoint");
        }
        if let Some(spec) = tool.get("toolSpec") {
            specification(index, spec, rules)?;
            if !names.insert(text(spec, "name").unwrap_or_default()) {
                return model_rejects("tools: Tool names must be unique.");
            }
        }
    }
    if names.is_empty() && tools.iter().all(|tool| tool.get("systemTool").is_none()) {
        return reject(
            "The toolConfig.tools field must contain at least one tool. Add a tool and try again.",
        );
    }
    choice(config, rules, &names)?;
    ids(request, rules)
}

fn specification(index: usize, spec: &Value, rules: &Rules) -> Check {
    let schema = spec.pointer("/inputSchema/json").unwrap_or(&Value::Null);
    if schema.get("type").and_then(Value::as_str) != Some("object") {
        return reject(format!(
            "The value at toolConfig.tools.{index}.toolSpec.inputSchema.json.type must be one of the following: object."
        ));
    }
    let path = format!("tools.{index}.custom.input_schema");
    claude::schema::tool(schema, &path, rules).or_else(model_rejects)?;
    if spec.get("strict").is_some_and(|strict| strict == true) {
        if !rules.structured_output {
            return unsupported(&format!("toolConfig.tools.{index}.toolSpec.strict"));
        }
        claude::schema::exact(schema, &path, rules).or_else(model_rejects)?;
    }
    Ok(())
}

fn choice(config: &Value, rules: &Rules, names: &BTreeSet<&str>) -> Check {
    let Some(choice) = config.get("toolChoice") else {
        return Ok(());
    };
    let kind = choice
        .as_object()
        .and_then(|object| object.keys().next())
        .map_or("", String::as_str);
    if rules.tool_choice.is_empty() {
        return unsupported("toolConfig.toolChoice");
    }
    if !rules.tool_choice.iter().any(|one| one == kind) {
        return unsupported(&format!("toolConfig.toolChoice.{kind}"));
    }
    if let Some(wanted) = choice.pointer("/tool/name").and_then(Value::as_str)
        && !names.contains(wanted)
    {
        return model_rejects(format!(
            "tool_choice: Tool '{wanted}' not found in provided tools"
        ));
    }
    Ok(())
}

/// The family's rules for tool use ids and tool results.
fn ids(request: &Value, rules: &Rules) -> Check {
    for (m, b, block) in blocks(request) {
        for kind in ["toolUse", "toolResult"] {
            let Some(id) = block.get(kind).and_then(|tool| text(tool, "toolUseId")) else {
                continue;
            };
            let nine = id.len() == 9 && id.chars().all(|c| c.is_ascii_alphanumeric());
            if rules.tool_id.as_deref() == Some("nine") && !nine {
                return model_rejects(format!(
                    "Tool call id was {id} but must be a-z, A-Z, 0-9, with a length of 9."
                ));
            }
        }
        if block.pointer("/toolResult/status").is_some() && !rules.tool_result_status {
            return unsupported(&format!("messages.{m}.content.{b}.toolResult.status"));
        }
    }
    Ok(())
}
