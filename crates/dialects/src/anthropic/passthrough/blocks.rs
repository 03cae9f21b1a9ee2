//! Checks messages and system prompt for Claude: blocks that Bedrock does not support are rejected by name; signed blocks
//! are not inspected.

use super::{Request, Slice};
use crate::translation::RequestError;

/// Blocks of tools that Anthropic's service runs.
const SERVER_BLOCKS: [&str; 5] = [
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
];

/// `messages`.
pub(super) fn messages(
    list: &Slice<'_>,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    for (index, message) in list.members().iter().enumerate() {
        if let Some(content) = message.value.get("content") {
            let path = format!("messages[{index}].content");
            blocks(&content, &path, request)?;
        }
    }
    Ok(())
}

fn blocks(
    content: &Slice<'_>,
    path: &str,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    for (index, block) in content.members().iter().enumerate() {
        let value = &block.value;
        let path = || format!("{path}[{index}]");
        let kind = value.get("type").and_then(|kind| kind.string());
        match kind.as_deref() {
            Some("image" | "document") => {
                source(value, &path)?;
                cache(value, &path(), request)?;
            }
            Some("tool_result") => {
                if let Some(content) = value.get("content") {
                    blocks(&content, &format!("{}.content", path()), request)?;
                }
                cache(value, &path(), request)?;
            }
            Some("thinking" | "redacted_thinking") => {}
            Some("server_tool_use" | "mcp_tool_use" | "mcp_tool_result" | "container_upload") => {
                return Err(served_by_anthropic(
                    &path(),
                    kind.as_deref().unwrap_or_default(),
                ));
            }
            Some(other) if SERVER_BLOCKS.contains(&other) => {
                return Err(served_by_anthropic(&path(), other));
            }
            _ => cache(value, &path(), request)?,
        }
    }
    Ok(())
}

fn served_by_anthropic(path: &str, kind: &str) -> RequestError {
    RequestError::unsupported(
        format!("{path}.type"),
        format!(
            "{kind} belongs to a tool that only Anthropic's service runs; remove the turn or send it \
             as text"
        ),
    )
}

/// Rejects URLs and files as sources: Bedrock supports data only.
fn source(block: &Slice<'_>, path: &dyn Fn() -> String) -> Result<(), RequestError> {
    let Some(source) = block.get("source") else {
        return Ok(());
    };
    let kind = source.get("type").and_then(|kind| kind.string());
    match kind.as_deref() {
        Some("url") => Err(RequestError::unsupported(
            format!("{}.source.type", path()),
            "URLs are not supported by Bedrock for Claude; send the data with type \"base64\"",
        )),
        Some("file") => Err(RequestError::unsupported(
            format!("{}.source.type", path()),
            "the Files API is not supported by Bedrock; send the data with type \"base64\"",
        )),
        _ => Ok(()),
    }
}

/// Checks text blocks, which may have a cache point.
pub(super) fn texts(
    list: &Slice<'_>,
    path: &str,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    for (index, block) in list.members().iter().enumerate() {
        cache(&block.value, &format!("{path}[{index}]"), request)?;
    }
    Ok(())
}

/// Removes members of `cache_control` that Bedrock does not support: `scope`, and a `ttl` of an hour unless the model
/// supports it.
pub(super) fn cache(
    block: &Slice<'_>,
    path: &str,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    let Some(control) = block.get("cache_control").filter(Slice::is_object) else {
        return Ok(());
    };
    let capabilities = request.options.capabilities;
    let members = control.members();
    let mut removed = Vec::new();
    for member in &members {
        let key = member.key.as_ref();
        let long = || {
            let word = member.value.string();
            word.as_deref() == Some("1h") && !capabilities.cache.ttl.iter().any(|ttl| ttl == "1h")
        };
        if key == "scope" {
            removed.push("scope");
        } else if key == "ttl" && long() {
            removed.push("ttl");
            let why = format!(
                "{} caches for 5 minutes only; 1h is not supported",
                capabilities.title
            );
            request.dropped(&format!("{path}.cache_control.ttl"), &why)?;
        }
    }
    request
        .edits
        .remove(&members, |member| removed.contains(&member.key.as_ref()));
    Ok(())
}
