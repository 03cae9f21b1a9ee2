//! Translated parts of a message.

use bedrock::converse::{CachePoint, ContentBlock, Text};

/// A translated part: its block, if any, and the cache point after it.
#[derive(Debug, Default)]
pub(crate) struct Part<'a> {
    pub(crate) block: Option<ContentBlock<'a>>,
    pub(crate) cache: Option<CachePoint>,
}

/// Blocks with their cache points, which find their place when the request is complete.
pub(crate) fn flatten(parts: Vec<Part<'_>>) -> Vec<ContentBlock<'_>> {
    let mut blocks = Vec::with_capacity(parts.len());
    for part in parts {
        blocks.extend(part.block);
        blocks.extend(part.cache.map(ContentBlock::CachePoint));
    }
    blocks
}

/// A text block; `None` for blank text, which Bedrock rejects.
pub(crate) fn text_block<'a>(text: impl Into<Text<'a>>) -> Option<ContentBlock<'a>> {
    let text = text.into();
    (!text.is_blank()).then_some(ContentBlock::Text(text))
}
