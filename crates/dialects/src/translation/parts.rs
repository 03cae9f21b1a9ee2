//! Translated parts of a message.

use std::borrow::Cow;

use bedrock::converse::{CachePoint, ContentBlock};

use super::{cache, context::Context, error::RequestError};

/// A translated part: its block, if any, and the cache point after it.
#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub(crate) block: Option<ContentBlock<'a>>,
    pub(crate) cache: Option<CachePoint>,
}

/// Blocks with their cache points; a cache point without a block before it is dropped with a warning.
///
/// # Errors
/// In strict mode, when a cache point would be dropped.
pub(crate) fn flatten<'a>(
    parts: Vec<Part<'a>>,
    context: &mut Context<'_>,
) -> Result<Vec<ContentBlock<'a>>, RequestError> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        blocks.extend(part.block);
        match (part.cache, blocks.last()) {
            (None, _) | (_, Some(ContentBlock::CachePoint(_))) => {}
            (Some(_), None) => cache::lost(context)?,
            (Some(point), Some(_)) => blocks.push(ContentBlock::CachePoint(point)),
        }
    }
    Ok(blocks)
}

/// A text block; `None` for blank text, which Bedrock rejects.
pub(crate) fn text_block(text: Cow<'_, str>) -> Option<ContentBlock<'_>> {
    (!text.trim().is_empty()).then_some(ContentBlock::Text(text))
}
