//! Translated parts of a message.

use std::borrow::Cow;

use bedrock::converse::{CachePoint, ContentBlock};

/// A translated part: its block, if any, and the cache point after it.
#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub(crate) block: Option<ContentBlock<'a>>,
    pub(crate) cache: Option<CachePoint>,
}

/// Blocks with their cache points; a cache point without a block before it is omitted.
pub(crate) fn flatten(parts: Vec<Part<'_>>) -> Vec<ContentBlock<'_>> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        blocks.extend(part.block);
        let after_point = matches!(blocks.last(), None | Some(ContentBlock::CachePoint(_)));
        if let Some(point) = part.cache.filter(|_| !after_point) {
            blocks.push(ContentBlock::CachePoint(point));
        }
    }
    blocks
}

/// A text block; `None` for blank text, which Bedrock rejects.
pub(crate) fn text_block(text: Cow<'_, str>) -> Option<ContentBlock<'_>> {
    (!text.trim().is_empty()).then_some(ContentBlock::Text(text))
}
