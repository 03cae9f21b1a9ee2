//! Checks messages and system prompt for Claude: blocks that Bedrock does not support are adapted or rejected by name;
//! signed blocks are not inspected.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

use super::{Member, Request, Slice, adapt::Root, has_beta, tools::SEARCH_NAME};
use crate::{
    anthropic::decode::content::{text_of, tool_reference},
    translation::{RequestError, cache::LOWERED, conversation::IN_PLACE, media},
};

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
        let role = message.value.get("role");
        if let Some(role) = role.filter(|role| role.string().as_deref() == Some("system"))
            && !request.options.capabilities.system_role
        {
            request.warnings.changed("messages[].role", IN_PLACE)?;
            request.edits.replace(&role, "\"user\"");
        }
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
                source(value, &path, request)?;
                cache(value, &path(), request)?;
            }
            Some("tool_result") => {
                if let Some(content) = value.get("content") {
                    blocks(&content, &format!("{}.content", path()), request)?;
                }
                cache(value, &path(), request)?;
            }
            Some("thinking" | "redacted_thinking") => {
                let members = value.members();
                if members.iter().any(|member| member.key == "cache_control") {
                    let why = "a thinking block cannot have a cache point";
                    request.dropped("cache_control", why)?;
                    request
                        .edits
                        .remove(&members, |member| member.key == "cache_control");
                }
            }
            Some("tool_reference") if !searches(request) => reference(value, request)?,
            Some("server_tool_use") if searches(request) && is_search(value) => {
                cache(value, &path(), request)?;
            }
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

/// Whether the request may search tools.
fn searches(request: &Request<'_, '_>) -> bool {
    has_beta(request.flags, "tool-search-tool-")
}

/// Whether a call is one of the search for tools, which Bedrock runs.
fn is_search(call: &Slice<'_>) -> bool {
    let name = call.get("name").and_then(|name| name.string());
    name.is_some_and(|name| name.starts_with(SEARCH_NAME))
}

/// Replaces a reference to a tool by text, for models that do not search tools.
fn reference(block: &Slice<'_>, request: &mut Request<'_, '_>) -> Result<(), RequestError> {
    let how = "sent as text, because the model does not search tools in this request";
    request
        .warnings
        .changed("messages[].content[].tool_reference", how)?;
    let name = block.get("tool_name").and_then(|name| name.string());
    let text = tool_reference(&name.unwrap_or_default());
    request
        .edits
        .replace(block, json!({"type": "text", "text": text}).to_string());
    Ok(())
}

/// Corrects the form of a source; rejects URLs and files, because Bedrock supports data only.
fn source(
    block: &Slice<'_>,
    path: &dyn Fn() -> String,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
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
        Some("base64") => data(&source, path, request),
        _ => Ok(()),
    }
}

/// Corrects a media type that is not that of the data, and sends a text file as text, which is the only form that
/// Claude accepts.
fn data(
    source: &Slice<'_>,
    path: &dyn Fn() -> String,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    let (Some(declared), Some(data)) = (source.get("media_type"), source.get("data")) else {
        return Ok(());
    };
    let kind = declared.string().unwrap_or_default().to_ascii_lowercase();
    let found = media::media_type_of(data.json().trim_matches('"'));
    if let Some(found) = found.filter(|found| *found != kind) {
        let how = format!("changed to {found}, the type of the data");
        let param = format!("{}.source.media_type", path());
        request.warnings.changed(&param, &how)?;
        request.edits.replace(&declared, json!(found).to_string());
    } else if kind.starts_with("text/") {
        let data = data.string().unwrap_or_default();
        let Ok(bytes) = STANDARD.decode(data.as_bytes()) else {
            return Ok(());
        };
        let (text, _) = text_of(bytes);
        let how = "sent as text, because Claude accepts text files in this form only";
        request
            .warnings
            .changed(&format!("{}.source", path()), how)?;
        let text = json!({"type": "text", "media_type": "text/plain", "data": text});
        request.edits.replace(source, text.to_string());
    }
    Ok(())
}

/// Lowers cache points of an hour that follow one of five minutes, in the order tools, system prompt, messages.
pub(super) fn order(
    body: &str,
    root: &Root<'_, '_>,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    let long_lived = &request.options.capabilities.cache.ttl;
    if !long_lived.iter().any(|ttl| ttl == "1h") || !body.contains("\"1h\"") {
        return Ok(());
    }
    let list = |key| root.get(key).map(|list| list.members()).unwrap_or_default();
    let mut points: Vec<Slice<'_>> = Vec::new();
    for member in list("tools").iter().chain(&list("system")) {
        points.extend(member.value.get("cache_control"));
    }
    for message in list("messages") {
        let content = message
            .value
            .get("content")
            .map(|content| content.members());
        for block in content.unwrap_or_default() {
            let is_result = |kind: Slice<'_>| kind.string().as_deref() == Some("tool_result");
            if block.value.get("type").is_some_and(is_result) {
                let inside = block.value.get("content").map(|content| content.members());
                let inside = inside.unwrap_or_default();
                points.extend(inside.iter().filter_map(control));
            }
            points.extend(control(&block));
        }
    }
    let mut short = false;
    for point in points.into_iter().filter(Slice::is_object) {
        let ttl = point
            .get("ttl")
            .filter(|ttl| ttl.string().as_deref() == Some("1h"));
        match ttl {
            Some(ttl) if short => {
                request.warnings.changed("cache_control.ttl", LOWERED)?;
                request.edits.replace(&ttl, "\"5m\"");
            }
            Some(_) => {}
            None => short = true,
        }
    }
    Ok(())
}

fn control<'t>(block: &Member<'t>) -> Option<Slice<'t>> {
    block.value.get("cache_control")
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
