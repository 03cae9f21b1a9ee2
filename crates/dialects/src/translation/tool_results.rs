//! Tool results: the content that a family supports in them, and results without a call.

use std::borrow::Cow;

use bedrock::converse::{CachePoint, ContentBlock, ToolResultBlock, ToolResultContent, ToolStatus};
use serde_json::value::RawValue;

use super::{context::Context, error::RequestError, turns::Turns};
use crate::families::MediaKind;

/// The warning about a result without a call.
pub(crate) const ORPHAN: &str = "a result without a call in the previous turn was sent as text";
/// The text before such a result.
pub(crate) const ORPHAN_LEAD: &str = "Result of an earlier tool call:";

/// A tool result in a client's request.
#[derive(Debug)]
pub(crate) struct ToolResult<'a> {
    /// The client's id of the call.
    pub(crate) id: Cow<'a, str>,
    pub(crate) is_error: bool,
    /// The cache point after it.
    pub(crate) point: Option<CachePoint>,
    pub(crate) blocks: Vec<ContentBlock<'a>>,
}

/// Adds a result after its call, by the rules of the family.
pub(crate) fn result<'a>(
    given: ToolResult<'a>,
    turns: &mut Turns<'a>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let ToolResult {
        id,
        is_error,
        point,
        blocks,
    } = given;
    let mut inside = Vec::new();
    let mut beside = Vec::new();
    for block in blocks {
        match result_content(block, context) {
            Ok(part) => inside.push(part),
            Err(block) => beside.push(*block),
        }
    }
    if inside.is_empty() && !beside.is_empty() {
        inside.push(ToolResultContent::Text(
            "See what is attached below.".into(),
        ));
    }
    let status = (is_error && context.capabilities.tool_result.status).then_some(ToolStatus::Error);
    if is_error && status.is_none() {
        context.warnings.dropped(
            "messages[].is_error",
            "this model does not support the status of a tool result",
        )?;
    }
    let Some(upstream) = turns.match_result(&id) else {
        let param = context.field_names.result_id;
        context.warnings.changed(param, ORPHAN)?;
        let mut blocks = orphan(inside, beside);
        blocks.extend(point.map(ContentBlock::CachePoint));
        turns.user(blocks);
        return Ok(());
    };
    let block = ToolResultBlock {
        tool_use_id: upstream,
        content: inside,
        status,
    };
    turns.result(block, point, beside);
    Ok(())
}

/// A block as content of a result; returns the block as an error if the family does not support its kind there.
fn result_content<'a>(
    block: ContentBlock<'a>,
    context: &Context<'_>,
) -> Result<ToolResultContent<'a>, Box<ContentBlock<'a>>> {
    let capabilities = &context.capabilities.tool_result;
    let takes = |kind: MediaKind| capabilities.media.contains(&kind);
    match block {
        ContentBlock::Text(text) if capabilities.json && text.first_visible() == Some('{') => Ok(
            match serde_json::from_str::<Box<RawValue>>(&text.decoded()) {
                Ok(raw) => ToolResultContent::Json(Cow::Owned(raw)),
                Err(_) => ToolResultContent::Text(text),
            },
        ),
        ContentBlock::Text(text) => Ok(ToolResultContent::Text(text)),
        ContentBlock::Image(image) if takes(MediaKind::Image) => {
            Ok(ToolResultContent::Image(image))
        }
        ContentBlock::Video(video) if takes(MediaKind::Video) => {
            Ok(ToolResultContent::Video(video))
        }
        ContentBlock::Document(document)
            if takes(MediaKind::Document)
                || (takes(MediaKind::TextDocument)
                    && matches!(document.format, "csv" | "html" | "txt" | "md")) =>
        {
            Ok(ToolResultContent::Document(document))
        }
        ContentBlock::SearchResult(found) => Ok(ToolResultContent::SearchResult(found)),
        other => Err(Box::new(other)),
    }
}

/// A result without a call, as text.
fn orphan<'a>(
    content: Vec<ToolResultContent<'a>>,
    beside: Vec<ContentBlock<'a>>,
) -> Vec<ContentBlock<'a>> {
    let as_block = |part| match part {
        ToolResultContent::Text(text) => ContentBlock::Text(text),
        ToolResultContent::Json(raw) => ContentBlock::Text(raw.get().to_owned().into()),
        ToolResultContent::Image(image) => ContentBlock::Image(image),
        ToolResultContent::Document(document) => ContentBlock::Document(document),
        ToolResultContent::Video(video) => ContentBlock::Video(video),
        ToolResultContent::SearchResult(found) => ContentBlock::SearchResult(found),
    };
    let lead = ContentBlock::Text(ORPHAN_LEAD.into());
    let mut blocks: Vec<_> = std::iter::once(lead)
        .chain(content.into_iter().map(as_block))
        .collect();
    blocks.extend(beside);
    blocks
}
