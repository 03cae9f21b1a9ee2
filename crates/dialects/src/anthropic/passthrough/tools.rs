//! Checks tools for Claude: tools that Anthropic's service runs are rejected by name, unsupported fields are removed,
//! schemas that Claude rejects are adapted.

use std::borrow::Cow;

use super::{
    Request, Slice, adapt,
    cache::{self, Point},
    has_beta,
};
use crate::translation::{
    RequestError,
    schema::{CLOSED, unions_moved, with_names, without_unions},
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
    let tools = list.members();
    let capabilities = request.options.capabilities;
    if !tools.is_empty() && !capabilities.tools.supported {
        let title = &capabilities.title;
        let why = format!("{title} does not support tools; choose another model");
        return Err(RequestError::unsupported("tools", why));
    }
    for (index, tool) in tools.iter().enumerate() {
        let path = format!("tools[{index}]");
        let members = tool.value.members();
        let kind = tool.value.get("type").and_then(|kind| kind.string());
        let kind = kind.as_deref().unwrap_or("custom");
        if SERVER_TOOLS.iter().any(|start| kind.starts_with(start)) {
            return Err(server_tool(&path, kind));
        }
        for member in &members {
            let key = member.key.as_ref();
            // No warning for values without effect.
            let has_effect = !matches!(
                member.value.json(),
                "false" | "null" | "[]" | "[\"direct\"]"
            );
            if has_effect && !takes(key, kind, request) {
                let param = format!("tools[].{key}");
                request.dropped(&param, "not supported by Bedrock")?;
            }
        }
        if let Some(given) = tool.value.get("input_schema") {
            schema(&tool.value, &given, &path, request)?;
        }
        let point = cache::edit(&tool.value, &path, request)?;
        let removed: Vec<bool> = members
            .iter()
            .map(|member| match member.key.as_ref() {
                "cache_control" => point == Point::Removed,
                key => !takes(key, kind, request),
            })
            .collect();
        let mut removed = removed.into_iter();
        request
            .edits
            .remove(&members, |_| removed.next().unwrap_or(false));
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
    let capabilities = request.options.capabilities;
    let rules = &capabilities.tools;
    let strict = tool
        .get("strict")
        .is_some_and(|strict| strict.json() == "true");
    let mut text = Cow::Borrowed(given.json());
    if !rules.root_unions
        && let Some(changed) = without_unions(&text)
    {
        let param = format!("{path}.input_schema");
        let how = unions_moved(&capabilities.title);
        request.warnings.changed(&param, &how)?;
        text = Cow::Owned(changed);
    }
    if strict
        && rules.strict
        && let Some(closed) = adapt::closed(&text)
    {
        request.warnings.changed("tools[].input_schema", CLOSED)?;
        text = Cow::Owned(closed.to_string());
    }
    if !rules.any_property_name {
        let name = tool.get("name").and_then(|name| name.string());
        if let Some(renamed) = with_names(&text, &name.unwrap_or_default(), request.names) {
            text = Cow::Owned(renamed);
        }
    }
    if let Cow::Owned(changed) = text {
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
