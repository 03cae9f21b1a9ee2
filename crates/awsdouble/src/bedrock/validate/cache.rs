//! Cache points: which places a family supports, what they may follow, how many there are, and their lifetimes.

use serde_json::Value;

use super::super::catalog::Rules;
use super::super::claude;
use super::{Check, blocks, list, malformed, model_rejects, reject, text};
use crate::error::AwsError;

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    let takes = |place: &str| rules.caching.iter().any(|one| one == place);
    let unsupported = || {
        Err(AwsError::access_denied(
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.",
        ))
    };
    for (index, block) in list(request, "system").iter().enumerate() {
        if is_point(block) {
            if index == 0 {
                return no_content_before(&format!("system.{index}"));
            }
            if !takes("system") {
                return unsupported();
            }
        }
    }
    let mut before: Option<&Value> = None;
    for (m, b, block) in blocks(request) {
        if is_point(block) {
            if !takes("messages") {
                return unsupported();
            }
            if b == 0 {
                return no_content_before(&format!("messages.{m}.content.{b}"));
            }
            if let Some(before) = before {
                follows(m, b, before, rules)?;
            }
        }
        before = Some(block);
    }
    let points = points(request);
    if points.len() > 4 {
        return model_rejects(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {}.",
            points.len()
        ));
    }
    if rules.anthropic {
        claude::lifetimes(points).or_else(model_rejects)?;
    }
    Ok(())
}

fn is_point(block: &Value) -> bool {
    block.get("cachePoint").is_some()
}

/// The block that a cache point follows.
fn follows(m: usize, b: usize, before: &Value, rules: &Rules) -> Check {
    if before.get("toolResult").is_some() && !rules.cache_after_tool_result {
        return malformed(&format!("#/messages/{m}/content/{b}"), "cachePoint");
    }
    if !rules.anthropic {
        return Ok(());
    }
    // Rule cache-after-reasoning.
    if before.get("reasoningContent").is_some() {
        return reject(
            "Cache point cannot be inserted after reasoning block. Please remove the invalid cache point and try again.",
        );
    }
    // Rule cache-after-document: Bedrock sends every document but a PDF as text, without a block that could have the cache point.
    let as_text = before
        .get("document")
        .is_some_and(|document| text(document, "format") != Some("pdf"));
    if as_text {
        return model_rejects(format!("messages.{m}.content.{b}.type: Field required"));
    }
    Ok(())
}

/// All cache points in the order in which the model processes them, with the path of the block that they follow.
fn points(request: &Value) -> Vec<(String, Option<&str>)> {
    let tools = request
        .get("toolConfig")
        .map_or(&[][..], |config| list(config, "tools"));
    let mut points = of_list("tools", tools);
    points.extend(of_list("system", list(request, "system")));
    for (m, message) in list(request, "messages").iter().enumerate() {
        points.extend(of_list(
            &format!("messages.{m}.content"),
            list(message, "content"),
        ));
    }
    points
}

fn of_list<'a>(path: &str, blocks: &'a [Value]) -> Vec<(String, Option<&'a str>)> {
    let mut content = 0_usize;
    let mut found = Vec::new();
    for block in blocks {
        match block.get("cachePoint") {
            Some(point) => found.push((
                format!("{path}.{}", content.saturating_sub(1)),
                text(point, "ttl"),
            )),
            None => content += 1,
        }
    }
    found
}

fn no_content_before(path: &str) -> Check {
    reject(format!(
        "The cachePoint block at {path} can't be the first block. Add a block before it and try again."
    ))
}
