//! Puts cache points where Bedrock accepts them: never first in a message, never after reasoning, never directly
//! after a document that Bedrock converts to text, and those of an hour before those of five minutes.
//!
//! A point that has to move goes to the nearest place before it: a later one would cache content that the client did
//! not mark and that may change. Bedrock reads tools, system prompt and messages in this order, so the end of a
//! message, of the system prompt and of the tools are places for a point of what follows.
//!
//! Sources: <https://github.com/aws/aws-sdk-java-v2/issues/6277> (documents, measured for six formats),
//! <https://github.com/strands-agents/harness-sdk/issues/3758> (order of lifetimes, measured),
//! <https://github.com/strands-agents/harness-sdk/issues/3677> (first in a message),
//! <https://github.com/anomalyco/opencode/issues/49859> (reasoning).

use bedrock::converse::{CachePoint, ContentBlock, ConverseRequest, SystemBlock, Tool};

use crate::{
    families::CacheCapabilities,
    translation::{context::Context, error::RequestError},
};

/// The format of the only documents that Bedrock does not convert to text.
const NOT_CONVERTED: &str = "pdf";
/// The warning about a moved point.
pub(crate) const MOVED: &str = "moved to the nearest earlier block that can have a cache point; Bedrock rejects it in its place";

/// What happened to the cache points of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outcome {
    moved: bool,
    dropped: bool,
}

/// A list of tools or blocks with cache points.
trait Element {
    fn new(point: CachePoint) -> Self;
    /// The point, if it is one.
    fn point(&mut self) -> Option<&mut CachePoint>;
    /// Whether a cache point may follow.
    fn carries(&self, capabilities: &CacheCapabilities) -> bool;
}

impl Element for Tool<'_> {
    fn new(point: CachePoint) -> Self {
        Self::CachePoint(point)
    }

    fn point(&mut self) -> Option<&mut CachePoint> {
        match self {
            Self::CachePoint(point) => Some(point),
            _ => None,
        }
    }

    fn carries(&self, capabilities: &CacheCapabilities) -> bool {
        capabilities.tools && !matches!(self, Self::CachePoint(_))
    }
}

impl Element for SystemBlock<'_> {
    fn new(point: CachePoint) -> Self {
        Self::CachePoint(point)
    }

    fn point(&mut self) -> Option<&mut CachePoint> {
        match self {
            Self::CachePoint(point) => Some(point),
            _ => None,
        }
    }

    fn carries(&self, capabilities: &CacheCapabilities) -> bool {
        capabilities.system && !matches!(self, Self::CachePoint(_))
    }
}

impl Element for ContentBlock<'_> {
    fn new(point: CachePoint) -> Self {
        Self::CachePoint(point)
    }

    fn point(&mut self) -> Option<&mut CachePoint> {
        match self {
            Self::CachePoint(point) => Some(point),
            _ => None,
        }
    }

    fn carries(&self, capabilities: &CacheCapabilities) -> bool {
        capabilities.messages
            && match self {
                Self::CachePoint(_) | Self::ReasoningContent(_) => false,
                Self::ToolResult(_) => capabilities.after_tool_result,
                Self::Document(document) => document.format == NOT_CONVERTED,
                _ => true,
            }
    }
}

/// Moves or drops the points that Bedrock would reject. `is_own`: the points are the gateway's own, which need no
/// warning.
pub(super) fn places(
    request: &mut ConverseRequest<'_>,
    is_own: bool,
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let outcome = place(request, &context.capabilities.cache);
    if outcome.moved && !is_own {
        context.warnings.changed("cache_control", MOVED)?;
    }
    if outcome.dropped && !is_own {
        lost(context)?;
    }
    Ok(())
}

/// The warning for a point that has no place.
fn lost(context: &mut Context<'_>) -> Result<(), RequestError> {
    let why = "a cache point needs a block before it that is neither reasoning nor a document that Bedrock converts to text";
    context.warnings.dropped("cache_control", why)
}

fn place(request: &mut ConverseRequest<'_>, capabilities: &CacheCapabilities) -> Outcome {
    let mut outcome = Outcome::default();
    let mut no_tools = Vec::new();
    let tools = match &mut request.tool_config {
        Some(config) => &mut config.tools,
        None => &mut no_tools,
    };
    let (homeless, in_tools) = list(tools, capabilities, &mut outcome);
    outcome.dropped |= !homeless.is_empty();
    let (homeless, in_system) = list(&mut request.system, capabilities, &mut outcome);
    for point in homeless {
        outcome.put(in_tools.is_some());
        if let Some(at) = in_tools {
            insert(tools, at, point);
        }
    }
    // The last place so far: a message and a block of it.
    let mut last: Option<(usize, usize)> = None;
    for index in 0..request.messages.len() {
        let Some(message) = request.messages.get_mut(index) else {
            break;
        };
        let (homeless, carrier) = list(&mut message.content, capabilities, &mut outcome);
        for point in homeless {
            let before = last.and_then(|(index, at)| Some((request.messages.get_mut(index)?, at)));
            outcome.put(before.is_some() || in_system.or(in_tools).is_some());
            if let Some((message, at)) = before {
                insert(&mut message.content, at, point);
            } else if let Some(at) = in_system {
                insert(&mut request.system, at, point);
            } else if let Some(at) = in_tools {
                insert(tools, at, point);
            }
        }
        last = carrier.map(|at| (index, at)).or(last);
    }
    outcome
}

impl Outcome {
    /// A point that has left its list.
    const fn put(&mut self, is_placed: bool) {
        self.moved |= is_placed;
        self.dropped |= !is_placed;
    }
}

/// Puts the points of a list into their places; returns those that have none in it, and the last element that may have
/// one.
fn list<E: Element>(
    elements: &mut Vec<E>,
    capabilities: &CacheCapabilities,
    outcome: &mut Outcome,
) -> (Vec<CachePoint>, Option<usize>) {
    let mut homeless = Vec::new();
    if !elements.iter_mut().any(|element| element.point().is_some()) {
        let carrier = |element: &E| element.carries(capabilities);
        return (homeless, elements.iter().rposition(carrier));
    }
    let mut carrier = None;
    let mut placed: Vec<E> = Vec::with_capacity(elements.len());
    for mut element in elements.drain(..) {
        let Some(point) = element.point() else {
            if element.carries(capabilities) {
                carrier = Some(placed.len());
            }
            placed.push(element);
            continue;
        };
        let point = *point;
        let is_in_place = placed
            .last_mut()
            .is_some_and(|last| last.point().is_some() || last.carries(capabilities));
        if let Some(at) = carrier {
            insert(&mut placed, at, point);
            outcome.moved |= !is_in_place;
        } else {
            homeless.push(point);
        }
    }
    *elements = placed;
    (homeless, carrier)
}

/// Adds a point after an element. A point that is there already caches the same prefix, for the longer of both lifetimes.
fn insert<E: Element>(elements: &mut Vec<E>, carrier: usize, point: CachePoint) {
    let next = carrier.saturating_add(1);
    match elements.get_mut(next).and_then(Element::point) {
        Some(known) => known.ttl = known.ttl.or(point.ttl),
        None => elements.insert(next, E::new(point)),
    }
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
    let tools = tools.filter_map(Element::point);
    let system = request.system.iter_mut().filter_map(Element::point);
    let blocks = request
        .messages
        .iter_mut()
        .flat_map(|message| &mut message.content);
    let messages = blocks.filter_map(Element::point);
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

    use bedrock::converse::{
        DocumentBlock, Message, ReasoningContent, Role, Source, ToolResultBlock,
    };

    use super::*;

    /// `t` and `c` are text, `d` a converted document, `p` a PDF, `r` reasoning, `x` a result, `|` a cache point.
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
            't' => ContentBlock::Text("t".into()),
            'c' => ContentBlock::Text("c".into()),
            'x' => ContentBlock::ToolResult(ToolResultBlock {
                tool_use_id: Cow::Borrowed("x"),
                content: Vec::new(),
                status: None,
            }),
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
            ContentBlock::Text(text) if text.decoded() == "c" => 'c',
            ContentBlock::Text(_) => 't',
            ContentBlock::ReasoningContent(_) => 'r',
            ContentBlock::CachePoint(_) => '|',
            ContentBlock::ToolResult(_) => 'x',
            ContentBlock::Document(document) if document.format != NOT_CONVERTED => 'd',
            _ => 'p',
        };
        blocks.iter().map(letter).collect()
    }

    const CLAUDE: CacheCapabilities = CacheCapabilities {
        system: true,
        messages: true,
        tools: true,
        after_tool_result: true,
        ttl: Vec::new(),
        max_points: 4,
    };

    /// Messages separated by spaces, after a system prompt if the text starts with `s`.
    fn request(text: &str) -> ConverseRequest<'static> {
        let mut words: Vec<&str> = text.split(' ').collect();
        let mut request = ConverseRequest::default();
        if words[0].starts_with('s') {
            let system = words.remove(0).chars().map(|letter| match letter {
                '|' => SystemBlock::CachePoint(CachePoint::new(None)),
                _ => SystemBlock::Text("s".into()),
            });
            request.system = system.collect();
        }
        let messages = words.into_iter().map(|letters| Message {
            role: Role::User,
            content: blocks(letters),
        });
        request.messages = messages.collect();
        request
    }

    fn shown(request: &ConverseRequest<'_>) -> String {
        let system = request.system.iter().map(|block| match block {
            SystemBlock::CachePoint(_) => '|',
            _ => 's',
        });
        let messages = request.messages.iter();
        let mut words: Vec<String> = messages.map(|message| letters(&message.content)).collect();
        if !request.system.is_empty() {
            words.insert(0, system.collect());
        }
        words.join(" ")
    }

    #[test]
    fn points_go_to_the_nearest_legal_place_before_them() {
        for (given, expected, moved, dropped) in [
            ("t|", "t|", false, false),
            ("tp|", "tp|", false, false),
            ("t||", "t|", false, false),
            ("|t", "t", false, true),
            ("r|t", "rt", false, true),
            ("tr|", "t|r", true, false),
            ("td|", "t|d", true, false),
            ("tdd|", "t|dd", true, false),
            ("d|t", "dt", false, true),
            ("td|t", "t|dt", true, false),
            ("td|d|t|", "t|ddt|", true, false),
            ("d|", "d", false, true),
            ("t|d|", "t|d", true, false),
            ("d|p", "dp", false, true),
            // In the message before, or the system prompt.
            ("t d|t", "t| dt", true, false),
            ("t r|c t", "t| rc t", true, false),
            ("t rd |t", "t| rd t", true, false),
            ("s |t", "s| t", true, false),
            ("s| d|", "s| d", true, false),
            ("s d|t d|t", "s| dt| dt", true, false),
        ] {
            let mut request = request(given);
            let outcome = place(&mut request, &CLAUDE);
            assert_eq!(shown(&request), expected, "{given}");
            let expected = Outcome { moved, dropped };
            assert_eq!(outcome, expected, "{given}");
        }
    }

    #[test]
    fn no_point_follows_a_result_where_the_family_rejects_it() {
        let capabilities = CacheCapabilities {
            after_tool_result: false,
            ..CLAUDE
        };
        let mut request = request("t x|");
        assert_eq!(
            place(&mut request, &capabilities),
            Outcome {
                moved: true,
                dropped: false
            }
        );
        assert_eq!(shown(&request), "t| x");
    }

    #[test]
    fn points_of_one_place_live_for_the_longer_lifetime() {
        let mut content = blocks("t|d");
        content.push(ContentBlock::CachePoint(CachePoint::new(Some("1h"))));
        let mut request = ConverseRequest {
            messages: vec![Message {
                role: Role::User,
                content,
            }],
            ..ConverseRequest::default()
        };
        place(&mut request, &CLAUDE);
        let point = &request.messages[0].content[1];
        assert!(matches!(point, ContentBlock::CachePoint(point) if point.ttl == Some("1h")));
    }
}
