//! Checks tools for Claude: tools that Anthropic's service runs are rejected by name, unsupported fields are removed,
//! schemas that Claude rejects are adapted.

use super::{Request, Slice, adapt, blocks, has_beta};
use crate::translation::{
    RequestError,
    schema::{unions_moved, without_unions},
};

/// Prefixes of the types of tools that only Anthropic's service runs.
pub(crate) const SERVER_TOOLS: [&str; 5] = [
    "web_search_",
    "web_fetch_",
    "code_execution_",
    "mcp_toolset",
    "advisor_",
];

/// Prefix of the types of tools that search other tools; Bedrock runs them by InvokeModel.
pub(crate) const SEARCH: &str = "tool_search_tool_";

/// Prefix of the names of these tools in calls.
pub(super) const SEARCH_NAME: &str = "tool_search_tool";

/// Members of a tool that the client defines.
const FIELDS: [&str; 5] = [
    "type",
    "name",
    "description",
    "input_schema",
    "cache_control",
];
/// Members that Bedrock supports for no tool.
const EXTRA: [&str; 2] = ["eager_input_streaming", "allowed_callers"];

pub(super) fn check(list: &Slice<'_>, request: &mut Request<'_, '_>) -> Result<(), RequestError> {
    for (index, tool) in list.members().iter().enumerate() {
        let path = format!("tools[{index}]");
        let members = tool.value.members();
        let kind = tool.value.get("type").and_then(|kind| kind.string());
        let kind = kind.as_deref().unwrap_or("custom");
        if SERVER_TOOLS.iter().any(|start| kind.starts_with(start)) {
            return Err(server_tool(&path, kind));
        }
        let mut removed: Vec<String> = Vec::new();
        for member in &members {
            let key = member.key.as_ref();
            if takes(key, kind, request) {
                continue;
            }
            removed.push(key.to_owned());
            // No warning for values without effect.
            if !matches!(
                member.value.json(),
                "false" | "null" | "[]" | "[\"direct\"]"
            ) {
                let param = format!("tools[].{key}");
                request.dropped(&param, "not supported by Bedrock")?;
            }
        }
        if let Some(given) = tool.value.get("input_schema") {
            schema(&tool.value, &given, &path, request)?;
        }
        blocks::cache(&tool.value, &path, request)?;
        request.edits.remove(&members, |member| {
            removed.iter().any(|key| *key == member.key)
        });
    }
    Ok(())
}

/// Adapts the schema of a tool, as in Converse.
fn schema(
    tool: &Slice<'_>,
    given: &Slice<'_>,
    path: &str,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    let capabilities = &request.options.capabilities.tools;
    let strict = tool
        .get("strict")
        .is_some_and(|strict| strict.json() == "true");
    if strict && capabilities.strict {
        adapt::close(given, "tools[].input_schema", request)?;
    } else if !capabilities.root_unions
        && let Some(changed) = without_unions(given.json())
    {
        let title = &request.options.capabilities.title;
        let param = format!("{path}.input_schema");
        request.warnings.changed(&param, &unions_moved(title))?;
        request.edits.replace(given, changed);
    }
    Ok(())
}

fn takes(key: &str, kind: &str, request: &Request<'_, '_>) -> bool {
    match key {
        "strict" => request.options.capabilities.tools.strict,
        "input_examples" => has_beta(request.flags, "tool-examples-"),
        "defer_loading" => has_beta(request.flags, "tool-search-tool-"),
        // Tools that Anthropic defines have their own fields.
        _ if kind == "custom" => FIELDS.contains(&key),
        _ => !EXTRA.contains(&key),
    }
}

pub(crate) fn server_tool(path: &str, kind: &str) -> RequestError {
    RequestError::unsupported(
        format!("{path}.type"),
        format!(
            "{kind} is a tool that only Anthropic's service runs; remove it, or define your own \
             tool with a name and an input_schema"
        ),
    )
}
