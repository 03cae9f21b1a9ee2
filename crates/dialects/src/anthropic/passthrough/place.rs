//! Puts cache points on blocks that may have one: those of thinking and of blank text go to the nearest block before
//! them, and automatic caching, which Claude's own API does not have on Bedrock, becomes a point on the last block of the
//! conversation.

use std::collections::BTreeMap;

use serde_json::json;

use super::{
    Edits, Member, Slice,
    adapt::Root,
    blocks::{is_blank, is_blank_text},
    json_edits::mentions,
};
use crate::{
    families::ModelCapabilities,
    translation::{RequestError, cache::MOVED, warnings::Warnings},
};

/// A tool, a block, or text that is the only block of its list.
struct Block<'t> {
    value: Slice<'t>,
    /// Whether the value is text in a string.
    is_string: bool,
    carries: bool,
    in_messages: bool,
}

impl<'t> Block<'t> {
    fn new(value: Slice<'t>, in_messages: bool) -> Self {
        let kind = value.get("type").and_then(|kind| kind.string());
        let thinks = matches!(kind.as_deref(), Some("thinking" | "redacted_thinking"));
        Self {
            value,
            is_string: false,
            carries: value.is_object() && !thinks && !is_blank_text(&value),
            in_messages,
        }
    }

    /// The blocks of a list, or a string in its place.
    fn all(content: &Slice<'t>, in_messages: bool) -> Vec<Self> {
        if let Some(text) = content.string() {
            return vec![Self {
                value: *content,
                is_string: true,
                carries: !is_blank(&text),
                in_messages,
            }];
        }
        let blocks = content.members();
        let block = |member: &Member<'t>| Self::new(member.value, in_messages);
        blocks.iter().map(block).collect()
    }

    fn point(&self) -> Option<Slice<'t>> {
        self.value.get("cache_control").filter(Slice::is_object)
    }

    /// Adds a point.
    fn mark(&self, point: &str, edits: &mut Edits) {
        if self.is_string {
            let text = self.value.json();
            let block = format!(r#"[{{"type":"text","text":{text},"cache_control":{point}}}]"#);
            edits.replace(&self.value, block);
        } else if let Some(none) = self.value.get("cache_control") {
            edits.replace(&none, point);
        } else {
            let member = format!(r#""cache_control":{point}"#);
            edits.insert_first(&self.value, &member, true);
        }
    }
}

/// The body with all cache points on blocks that may have one; `None` if it stays as it is.
///
/// # Errors
/// In strict mode, when a point of the client would be moved or dropped.
pub(super) fn placed(
    body: &str,
    capabilities: &ModelCapabilities,
    warnings: &mut Warnings,
) -> Result<Option<String>, RequestError> {
    if !mentions(body, "cache_control") {
        return Ok(None);
    }
    let members = Slice::new(body).members();
    let root = Root(&members);
    let blocks = blocks(&root);
    let mut edits = Edits::default();
    let mut is_changed = false;
    // The new points by the positions of their blocks.
    let mut points: BTreeMap<usize, String> = BTreeMap::new();
    // The last block so far that may have a point.
    let mut last = None;
    for (index, block) in blocks.iter().enumerate() {
        if block.carries {
            last = Some(index);
            continue;
        }
        let Some(point) = block.point() else {
            continue;
        };
        if let Some(place) = last {
            warnings.changed("cache_control", MOVED)?;
            points
                .entry(place)
                .or_insert_with(|| point.json().to_owned());
        } else {
            let why = "no block before it can have a cache point";
            warnings.dropped("cache_control", why)?;
        }
        edits.remove(&block.value.members(), |member| {
            member.key == "cache_control"
        });
        is_changed = true;
    }
    if let Some(control) = root.get("cache_control").filter(Slice::is_object) {
        let last = last.filter(|last| blocks.get(*last).is_some_and(|block| block.in_messages));
        if capabilities.cache.max_points == 0 {
            let why = format!("{} does not cache prompts", capabilities.title);
            warnings.dropped("cache_control", &why)?;
        } else if let Some(last) = last {
            points.entry(last).or_insert_with(|| automatic(&control));
        }
    }
    for (index, point) in points {
        if let Some(block) = blocks.get(index).filter(|block| block.point().is_none()) {
            block.mark(&point, &mut edits);
            is_changed = true;
        }
    }
    Ok(is_changed.then(|| edits.apply(body)))
}

/// The tools and blocks of a request in the order in which Claude reads them.
fn blocks<'t>(root: &Root<'_, 't>) -> Vec<Block<'t>> {
    let tools = root.get("tools").map(|list| list.members());
    let tools = tools.unwrap_or_default();
    let mut blocks: Vec<Block<'t>> = tools
        .iter()
        .map(|tool| Block::new(tool.value, false))
        .collect();
    if let Some(system) = root.get("system") {
        blocks.extend(Block::all(&system, false));
    }
    let messages = root.get("messages").map(|list| list.members());
    for message in messages.unwrap_or_default() {
        if let Some(content) = message.value.get("content") {
            blocks.extend(Block::all(&content, true));
        }
    }
    blocks
}

/// The point of automatic caching: the members that a block's point has.
fn automatic(control: &Slice<'_>) -> String {
    let ttl = control.get("ttl").and_then(|ttl| ttl.string());
    match ttl {
        Some(ttl) => json!({"type": "ephemeral", "ttl": ttl}).to_string(),
        None => json!({"type": "ephemeral"}).to_string(),
    }
}
