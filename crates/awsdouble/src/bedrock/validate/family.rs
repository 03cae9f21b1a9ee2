//! The rules of a model family: system messages, cache points, reasoning of earlier turns, additional fields.

use serde_json::Value;

use super::super::catalog::{Reasoning, Rules};
use super::super::reply::{reasoning_signature, redacted_reasoning};
use super::{Check, blocks, list, malformed, model_rejects, reject, unsupported};
use crate::error::AwsError;

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    if !rules.system && !list(request, "system").is_empty() {
        return reject(
            "This model doesn't support system messages. Try again without a system message or use a model that supports system messages.",
        );
    }
    caching(request, rules)?;
    reasoning(request, rules)?;
    additional_fields(request, rules)
}

fn caching(request: &Value, rules: &Rules) -> Check {
    let takes = |place: &str| rules.caching.iter().any(|one| one == place);
    let is_point = |block: &Value| block.get("cachePoint").is_some();
    let unsupported = || {
        Err(AwsError::access_denied(
            "You invoked an unsupported model or your request did not allow prompt caching. See the documentation for more information.",
        ))
    };
    let tools = request
        .get("toolConfig")
        .map_or(&[][..], |config| list(config, "tools"));
    let mut points = tools.iter().filter(|tool| is_point(tool)).count();
    for (index, block) in list(request, "system").iter().enumerate() {
        if is_point(block) {
            points += 1;
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
            points += 1;
            if !takes("messages") {
                return unsupported();
            }
            if b == 0 {
                return no_content_before(&format!("messages.{m}.content.{b}"));
            }
            let follows_result = before.is_some_and(|block| block.get("toolResult").is_some());
            if follows_result && !rules.cache_after_tool_result {
                return malformed(&format!("#/messages/{m}/content/{b}"), "cachePoint");
            }
        }
        before = Some(block);
    }
    if points > 4 {
        return model_rejects(format!(
            "A maximum of 4 blocks with cache_control may be provided. Found {points}."
        ));
    }
    Ok(())
}

fn no_content_before(path: &str) -> Check {
    reject(format!(
        "The cachePoint block at {path} can't be the first block. Add a block before it and try again."
    ))
}

fn reasoning(request: &Value, rules: &Rules) -> Check {
    for (m, b, block) in blocks(request) {
        let Some(reasoning) = block.get("reasoningContent") else {
            continue;
        };
        match rules.reasoning {
            Reasoning::None => {
                return unsupported(&format!("messages.{m}.content.{b}.reasoningContent"));
            }
            Reasoning::Plain => {}
            Reasoning::Signed => signed(m, b, reasoning)?,
        }
    }
    Ok(())
}

/// Validates the signature of a reasoning block.
fn signed(m: usize, b: usize, reasoning: &Value) -> Check {
    if let Some(data) = reasoning.get("redactedContent") {
        if data.as_str() == Some(redacted_reasoning().as_str()) {
            return Ok(());
        }
        return model_rejects(format!(
            "messages.{m}.content.{b}: Invalid `data` in `redacted_thinking` block"
        ));
    }
    let part = |name: &str| {
        reasoning
            .pointer(&format!("/reasoningText/{name}"))
            .and_then(Value::as_str)
    };
    match (part("text"), part("signature")) {
        (_, None) => model_rejects(format!(
            "messages.{m}.content.{b}.thinking.signature: Field required"
        )),
        (text, Some(given)) if given == reasoning_signature(text.unwrap_or_default()) => Ok(()),
        _ => model_rejects(format!(
            "messages.{m}.content.{b}: Invalid `signature` in `thinking` block"
        )),
    }
}

fn additional_fields(request: &Value, rules: &Rules) -> Check {
    let Some(fields) = request
        .get("additionalModelRequestFields")
        .and_then(Value::as_object)
    else {
        return Ok(());
    };
    for (name, value) in fields {
        if rules.strict_fields && !rules.additional_fields.contains(name) {
            return if rules.reasoning == Reasoning::Signed {
                model_rejects(format!("{name}: Extra inputs are not permitted"))
            } else {
                malformed("#", name)
            };
        }
        // Only one of the two tool choices is allowed.
        if name == "tool_choice" {
            if let Some(choice) = request.pointer("/toolConfig/toolChoice") {
                let kind = choice
                    .as_object()
                    .and_then(|o| o.keys().next())
                    .map_or("", String::as_str);
                return reject(format!(
                    "The additional field tool_choice/type conflicts with toolConfig.toolChoice.{kind}. Remove one of them and try again."
                ));
            }
            if request.get("toolConfig").is_none() && value.is_object() {
                return model_rejects("tool_choice: may only be specified while providing tools.");
            }
        }
        if name == "anthropic_beta" {
            beta_flags(value)?;
        }
    }
    Ok(())
}

/// Validates beta flags against those that Bedrock documents for Claude.
pub(in crate::bedrock) fn beta_flags(value: &Value) -> Check {
    const KNOWN: [&str; 12] = [
        "computer-use-2024-10-22",
        "computer-use-2025-01-24",
        "computer-use-2025-11-24",
        "token-efficient-tools-2025-02-19",
        "interleaved-thinking-2025-05-14",
        "output-128k-2025-02-19",
        "dev-full-thinking-2025-05-14",
        "context-1m-2025-08-07",
        "context-management-2025-06-27",
        "effort-2025-11-24",
        "tool-search-tool-2025-10-19",
        "tool-examples-2025-10-29",
    ];
    let flags = value.as_array().map_or(&[][..], Vec::as_slice);
    if flags
        .iter()
        .all(|flag| flag.as_str().is_some_and(|flag| KNOWN.contains(&flag)))
    {
        return Ok(());
    }
    reject("invalid beta flag")
}
