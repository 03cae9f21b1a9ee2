//! Puts cache points where Bedrock accepts them: never first in a message, never after reasoning, never directly
//! after a document that Bedrock converts to text, and those of an hour before those of five minutes.
//!
//! Sources: <https://github.com/aws/aws-sdk-java-v2/issues/6277> (documents, measured for six formats),
//! <https://github.com/strands-agents/harness-sdk/issues/3758> (order of lifetimes, measured),
//! <https://github.com/anomalyco/opencode/issues/49859> (reasoning).

use bedrock::converse::{CachePoint, ContentBlock, ConverseRequest, SystemBlock, Tool};

use crate::translation::{context::Context, error::RequestError};

/// The format of the only documents that Bedrock does not convert to text.
const NOT_CONVERTED: &str = "pdf";

/// What happened to the cache points of a message.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    moved: bool,
    dropped: bool,
}

/// Moves or drops the points in messages that Bedrock would reject. `is_own`: the points are the gateway's own, which
/// need no warning.
pub(super) fn places(
    request: &mut ConverseRequest<'_>,
    is_own: bool,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    if let Some(config) = &mut request.tool_config {
        let mut after_tool = false;
        config.tools.retain(|tool| {
            let point = matches!(tool, Tool::CachePoint(_));
            let kept = !point || after_tool;
            after_tool = !point;
            kept
        });
    }
    let mut outcome = Outcome::default();
    for message in &mut request.messages {
        if message.content.iter().any(super::is_point) {
            place(&mut message.content, &mut outcome);
        }
    }
    if outcome.moved && !is_own {
        let how = "moved, because Bedrock rejects a cache point directly after a document that it converts to text";
        context.warnings.changed("cache_control", how)?;
    }
    if outcome.dropped && !is_own {
        lost(context)?;
    }
    Ok(())
}

/// The warning for a point that has no place.
pub(crate) fn lost(context: &mut Context<'_>) -> Result<(), RequestError> {
    let why = "a cache point needs a block before it that is neither reasoning nor a document that Bedrock converts to text";
    context.warnings.dropped("cache_control", why)
}

fn place(content: &mut Vec<ContentBlock<'_>>, outcome: &mut Outcome) {
    let mut waiting: Option<CachePoint> = None;
    let mut placed = Vec::with_capacity(content.len().saturating_add(1));
    for block in content.drain(..) {
        let ContentBlock::CachePoint(point) = block else {
            let fits = !is_converted(&block) && !is_reasoning(&block);
            placed.push(block);
            if fits && let Some(point) = waiting.take() {
                outcome.moved = true;
                placed.push(ContentBlock::CachePoint(point));
            }
            continue;
        };
        match placed.last() {
            // The point before it caches the same prefix.
            Some(ContentBlock::CachePoint(_)) => {}
            Some(before) if is_converted(before) => waiting = Some(point),
            Some(before) if !is_reasoning(before) => placed.push(ContentBlock::CachePoint(point)),
            _ => outcome.dropped = true,
        }
    }
    if let Some(point) = waiting {
        // No block follows the documents, so the point goes before them.
        let fits = placed.iter().rposition(|block| !is_converted(block));
        let before = fits.and_then(|at| Some((at.saturating_add(1), placed.get(at)?)));
        match before {
            Some((_, ContentBlock::CachePoint(_))) => outcome.moved = true,
            Some((at, block)) if !is_reasoning(block) => {
                outcome.moved = true;
                placed.insert(at, ContentBlock::CachePoint(point));
            }
            _ => outcome.dropped = true,
        }
    }
    *content = placed;
}

fn is_converted(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::Document(document) if document.format != NOT_CONVERTED)
}

const fn is_reasoning(block: &ContentBlock<'_>) -> bool {
    matches!(block, ContentBlock::ReasoningContent(_))
}

/// Lowers points of an hour that follow a point of five minutes; Bedrock reads tools, system prompt and messages in
/// this order.
pub(super) fn order(
    request: &mut ConverseRequest<'_>,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let tools = request
        .tool_config
        .iter_mut()
        .flat_map(|config| &mut config.tools);
    let tools = tools.filter_map(|tool| match tool {
        Tool::CachePoint(point) => Some(point),
        _ => None,
    });
    let system = request.system.iter_mut().filter_map(|block| match block {
        SystemBlock::CachePoint(point) => Some(point),
        _ => None,
    });
    let blocks = request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.content);
    let messages = blocks.filter_map(|block| match block {
        ContentBlock::CachePoint(point) => Some(point),
        _ => None,
    });
    let mut short = false;
    let mut lowered = false;
    for point in tools.chain(system).chain(messages) {
        lowered |= short && point.ttl.is_some();
        if short {
            point.ttl = None;
        }
        short |= point.ttl.is_none();
    }
    if lowered {
        context.warnings.changed("cache_control.ttl", LOWERED)?;
    }
    Ok(())
}

/// The warning for a lowered lifetime.
pub(crate) const LOWERED: &str = "1h was lowered to 5m, because a cache point of 5 minutes precedes it in tools, system or messages";

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use bedrock::converse::{DocumentBlock, ReasoningContent, Source};

    use super::*;

    /// `t` is text, `d` a converted document, `p` a PDF, `r` reasoning, `|` a cache point.
    fn blocks(letters: &str) -> Vec<ContentBlock<'static>> {
        let document = |format| {
            ContentBlock::Document(DocumentBlock {
                format,
                name: "d".to_owned(),
                source: Source::Bytes(Cow::Borrowed("YQ==")),
                context: None,
                citations: None,
            })
        };
        let block = |letter| match letter {
            't' => ContentBlock::Text(Cow::Borrowed("t")),
            'd' => document("csv"),
            'p' => document("pdf"),
            'r' => ContentBlock::ReasoningContent(ReasoningContent::RedactedContent(
                Cow::Borrowed("cg=="),
            )),
            _ => ContentBlock::CachePoint(CachePoint::new(None)),
        };
        letters.chars().map(block).collect()
    }

    fn letters(blocks: &[ContentBlock<'_>]) -> String {
        let letter = |block: &ContentBlock<'_>| match block {
            ContentBlock::Text(_) => 't',
            ContentBlock::ReasoningContent(_) => 'r',
            ContentBlock::CachePoint(_) => '|',
            block if is_converted(block) => 'd',
            _ => 'p',
        };
        blocks.iter().map(letter).collect()
    }

    #[test]
    fn points_have_a_valid_block_before_them() {
        for (given, expected, moved, dropped) in [
            ("t|", "t|", false, false),
            ("tp|", "tp|", false, false),
            ("|t", "t", false, true),
            ("r|t", "rt", false, true),
            ("tr|", "tr", false, true),
            ("td|", "t|d", true, false),
            ("tdd|", "t|dd", true, false),
            ("d|t", "dt|", true, false),
            ("td|t", "tdt|", true, false),
            ("td|d|t|", "tddt|", true, false),
            ("d|", "d", false, true),
            ("t|d|", "t|d", true, false),
            ("rd|", "rd", false, true),
            ("d|p", "dp|", true, false),
        ] {
            let mut content = blocks(given);
            let mut outcome = Outcome::default();
            place(&mut content, &mut outcome);
            assert_eq!(letters(&content), expected, "{given}");
            assert_eq!(
                (outcome.moved, outcome.dropped),
                (moved, dropped),
                "{given}"
            );
        }
    }
}
