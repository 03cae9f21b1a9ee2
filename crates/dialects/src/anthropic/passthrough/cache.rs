//! Cache points in Claude's own API: their number, the order of their lifetimes, and the members of `cache_control` that
//! Bedrock supports.

use std::collections::BTreeSet;

use super::{Member, Request, Slice, adapt::Root, blocks::is_blank_text, json_edits::mentions};
use crate::translation::{
    RequestError,
    cache::{LOWERED, only_last},
};

/// What happened to a cache point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Point {
    Kept,
    Removed,
}

/// The cache points of a request in the order in which Claude processes them.
pub(super) fn points<'t>(body: &str, root: &Root<'_, 't>) -> Vec<Slice<'t>> {
    let mut points: Vec<Slice<'t>> = Vec::new();
    if !mentions(body, "cache_control") {
        return points;
    }
    let list = |key| root.get(key).map(|list| list.members()).unwrap_or_default();
    points.extend(list("tools").iter().filter_map(control));
    points.extend(list("system").iter().filter_map(control));
    for message in list("messages") {
        let content = message.value.get("content");
        for block in content.map(|content| content.members()).unwrap_or_default() {
            let kind = block.value.get("type").and_then(|kind| kind.string());
            if kind.as_deref() == Some("tool_result") {
                let inside = block.value.get("content").map(|content| content.members());
                points.extend(inside.unwrap_or_default().iter().filter_map(control));
            }
            points.extend(control(&block));
        }
    }
    points.retain(Slice::is_object);
    points
}

/// The point of a block, unless the block is removed.
fn control<'t>(block: &Member<'t>) -> Option<Slice<'t>> {
    let control = block.value.get("cache_control")?;
    (!is_blank_text(&block.value)).then_some(control)
}

/// The positions of the points above the model's maximum: later points cache longer prefixes. Lowers the lifetimes of
/// the others from an hour after one of five minutes.
pub(super) fn excess(
    points: &[Slice<'_>],
    request: &mut Request<'_, '_>,
) -> Result<BTreeSet<usize>, RequestError> {
    let capabilities = &request.options.capabilities.cache;
    let (excess, kept) = points
        .split_at_checked(points.len().saturating_sub(capabilities.max_points))
        .unwrap_or_default();
    if !excess.is_empty() {
        let how = only_last(capabilities.max_points);
        request.warnings.changed("cache_control", &how)?;
    }
    if capabilities.ttl.iter().any(|ttl| ttl == "1h") {
        let mut short = false;
        for point in kept {
            let ttl = point.get("ttl");
            let long = ttl.filter(|ttl| ttl.string().as_deref() == Some("1h"));
            match long {
                Some(ttl) if short => {
                    request.warnings.changed("cache_control.ttl", LOWERED)?;
                    request.edits.replace(&ttl, "\"5m\"");
                }
                Some(_) => {}
                None => short = true,
            }
        }
    }
    Ok(excess.iter().map(Slice::position).collect())
}

/// Removes a point above the maximum, and the members that Bedrock does not support: `scope`, and a `ttl` of an hour
/// unless the model supports it. A removed point of a tool remains to be removed from the tool.
pub(super) fn edit(
    block: &Slice<'_>,
    path: &str,
    request: &mut Request<'_, '_>,
) -> Result<Point, RequestError> {
    let Some(control) = block.get("cache_control").filter(Slice::is_object) else {
        return Ok(Point::Kept);
    };
    if request.excess.contains(&control.position()) {
        if !path.starts_with("tools") {
            request
                .edits
                .remove(&block.members(), |member| member.key == "cache_control");
        }
        return Ok(Point::Removed);
    }
    let capabilities = request.options.capabilities;
    let has_hour = capabilities.cache.ttl.iter().any(|ttl| ttl == "1h");
    let is_long = |member: &Member<'_>| member.value.string().as_deref() == Some("1h");
    let members = control.members();
    let long = |member: &Member<'_>| member.key == "ttl" && !has_hour && is_long(member);
    if members.iter().any(long) {
        let why = format!(
            "{} caches for 5 minutes only; 1h is not supported",
            capabilities.title
        );
        request.dropped(&format!("{path}.cache_control.ttl"), &why)?;
    }
    request
        .edits
        .remove(&members, |member| member.key == "scope" || long(member));
    Ok(Point::Kept)
}
