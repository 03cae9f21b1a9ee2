//! Checks messages and system prompt for Claude: blocks that Bedrock does not support are adapted or rejected by name;
//! signed blocks are not inspected.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{Member, Request, Slice, cache, has_beta, tools::SEARCH_NAME};
use crate::{
    anthropic::decode::content::{text_of, tool_reference},
    translation::{
        RequestError, media,
        names::claude_id,
        turns::{LAST_REASONING, PLACEHOLDER, REASONING},
        write::quoted,
    },
};

/// The warning about blank text.
const BLANK: &str = "blank text was left out, because Claude rejects it";

/// Blocks of tools that Anthropic's service runs.
const SERVER_BLOCKS: [&str; 5] = [
    "web_search_tool_result",
    "web_fetch_tool_result",
    "code_execution_tool_result",
    "bash_code_execution_tool_result",
    "text_editor_code_execution_tool_result",
];

/// What remains of a list of blocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Blocks that are not blank.
    blocks: usize,
    /// Whether all of them, and whether the last of them is reasoning.
    only_thinks: bool,
    ends_thinking: bool,
}

/// `messages`.
pub(super) fn messages(
    list: &Slice<'_>,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    let members = list.members();
    let mut removed = vec![false; members.len()];
    for (index, (message, is_removed)) in members.iter().zip(&mut removed).enumerate() {
        let Some(content) = message.value.get("content") else {
            continue;
        };
        let role = message.value.get("role").and_then(|role| role.string());
        let assistant = role.as_deref() == Some("assistant");
        let ends = assistant && index.saturating_add(1) == members.len();
        let path = format!("messages[{index}].content");
        let kept = blocks(&content, &path, "messages[].content", request)?;
        if ends {
            trim_end(&content, request);
        }
        *is_removed = if assistant && kept.ends_thinking {
            without_answer(&content, kept, ends, request)?
        } else {
            blank(&content, kept, ends, request)
        };
    }
    let mut removed = removed.into_iter();
    request
        .edits
        .remove(&members, |_| removed.next().unwrap_or(false));
    Ok(())
}

/// Replaces a message without text, which Claude rejects; whether it is removed instead.
fn blank(content: &Slice<'_>, kept: Kept, last: bool, request: &mut Request<'_, '_>) -> bool {
    let blank = match content.string() {
        Some(text) => is_blank(&text),
        None => kept.blocks == 0 && content.json().starts_with('['),
    };
    // Claude accepts the last turn of the assistant without content.
    let empty = content.string().is_some_and(|text| text.is_empty())
        || (content.json().starts_with('[') && content.members().is_empty());
    if !blank || (last && empty) {
        return false;
    }
    request.warnings.info("messages[].content", BLANK);
    if !last {
        request
            .edits
            .replace(content, format!("[{}]", placeholder()));
    }
    last
}

/// Adds text to a turn that ends with reasoning, which Claude does not count as an answer; whether it is removed
/// instead, because it is the last one.
fn without_answer(
    content: &Slice<'_>,
    kept: Kept,
    last: bool,
    request: &mut Request<'_, '_>,
) -> Result<bool, RequestError> {
    if last && kept.only_thinks {
        request.dropped("messages[].content", LAST_REASONING)?;
        return Ok(true);
    }
    request.warnings.changed("messages[].content", REASONING)?;
    request
        .edits
        .insert_last(content, &placeholder(), kept.blocks > 0);
    Ok(false)
}

/// Removes whitespace at the end of the turn that the model continues, which Claude rejects.
fn trim_end(content: &Slice<'_>, request: &mut Request<'_, '_>) {
    let blocks = content.members();
    let last = blocks.iter().rfind(|block| !is_blank_text(&block.value));
    let ending = match last {
        Some(block) => block.value.get("text"),
        None => Some(*content),
    };
    if let Some(ending) = ending
        && let Some(text) = ending.string()
        && text.trim_end().len() < text.len()
        && !is_blank(&text)
    {
        request.edits.replace(&ending, quoted(text.trim_end()));
    }
}

/// A block for a place where Claude requires text.
fn placeholder() -> String {
    json!({"type": "text", "text": PLACEHOLDER}).to_string()
}

pub(super) fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

/// Whether a block is text without a visible character, which Claude rejects.
pub(super) fn is_blank_text(block: &Slice<'_>) -> bool {
    let text = |key| block.get(key).and_then(|value| value.string());
    text("type").as_deref() == Some("text") && text("text").is_some_and(|text| is_blank(&text))
}

/// Removes blank text from a list of the field; the number of other elements.
fn remove_blank(list: &Slice<'_>, field: &str, request: &mut Request<'_, '_>) -> usize {
    let members = list.members();
    let is_blank = |block: &Member<'_>| is_blank_text(&block.value);
    let kept = members.iter().filter(|block| !is_blank(block)).count();
    if kept > 0 && kept < members.len() {
        request.warnings.info(field, BLANK);
        request.edits.remove(&members, is_blank);
    }
    kept
}

/// `system`; whether it has no text.
pub(super) fn system(
    list: &Slice<'_>,
    request: &mut Request<'_, '_>,
) -> Result<bool, RequestError> {
    for (index, block) in list.members().iter().enumerate() {
        cache::edit(&block.value, &format!("system[{index}]"), request)?;
    }
    let is_blank = remove_blank(list, "system", request) == 0 && !list.members().is_empty();
    if is_blank {
        request.warnings.info("system", BLANK);
    }
    Ok(is_blank)
}

fn blocks(
    content: &Slice<'_>,
    path: &str,
    field: &str,
    request: &mut Request<'_, '_>,
) -> Result<Kept, RequestError> {
    let mut kept = Kept {
        only_thinks: true,
        ..Kept::default()
    };
    for (index, block) in content.members().iter().enumerate() {
        let value = &block.value;
        let path = || format!("{path}[{index}]");
        let kind = value.get("type").and_then(|kind| kind.string());
        let thinks = matches!(kind.as_deref(), Some("thinking" | "redacted_thinking"));
        if !is_blank_text(value) {
            kept.only_thinks &= thinks;
            kept.ends_thinking = thinks;
        }
        match kind.as_deref() {
            Some("image" | "document") => {
                source(value, &path, request)?;
                cache::edit(value, &path(), request)?;
            }
            Some("tool_use") => {
                call(value, request);
                cache::edit(value, &path(), request)?;
            }
            Some("tool_result") => {
                result(value, &path(), request)?;
                cache::edit(value, &path(), request)?;
            }
            // Only `null` is left of their points.
            Some("thinking" | "redacted_thinking") => {
                request
                    .edits
                    .remove(&value.members(), |member| member.key == "cache_control");
            }
            Some("tool_reference") if !searches(request) => reference(value, request)?,
            Some("server_tool_use") if searches(request) && is_search(value) => {
                cache::edit(value, &path(), request)?;
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
            _ => {
                cache::edit(value, &path(), request)?;
            }
        }
    }
    kept.blocks = remove_blank(content, field, request);
    Ok(kept)
}

/// An earlier call: its id, and the names of its arguments.
fn call(block: &Slice<'_>, request: &mut Request<'_, '_>) {
    id(block, "id", request);
    let name = block.get("name").and_then(|name| name.string());
    let name = name.unwrap_or_default();
    if request.names.renames_arguments(&name)
        && let Some(input) = block.get("input")
        && let Some(renamed) = request.names.with_upstream_arguments(&name, input.json())
    {
        request.edits.replace(&input, renamed);
    }
}

fn result(
    block: &Slice<'_>,
    path: &str,
    request: &mut Request<'_, '_>,
) -> Result<(), RequestError> {
    id(block, "tool_use_id", request);
    let Some(content) = block.get("content") else {
        return Ok(());
    };
    let field = "messages[].content[].content";
    let kept = blocks(&content, &format!("{path}.content"), field, request)?;
    if kept.blocks == 0 && !content.members().is_empty() {
        request.warnings.info(field, BLANK);
        request.edits.replace(&content, "\"\"");
    }
    Ok(())
}

/// Replaces a call id that Claude's own API rejects; equal ids get equal ones.
fn id(block: &Slice<'_>, key: &str, request: &mut Request<'_, '_>) {
    if let Some(id) = block.get(key)
        && let Some(text) = id.string()
        && let Some(plain) = claude_id(&text)
    {
        request.edits.replace(&id, json!(plain).to_string());
    }
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
    let text = reference_as_text(block).to_string();
    request.edits.replace(block, text);
    Ok(())
}

/// A reference to a tool as a block of text.
pub(super) fn reference_as_text(block: &Slice<'_>) -> Value {
    let name = block.get("tool_name").and_then(|name| name.string());
    let text = tool_reference(&name.unwrap_or_default());
    json!({"type": "text", "text": text})
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
