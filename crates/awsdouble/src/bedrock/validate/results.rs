//! Messages with tool results: what a family accepts inside of a result and beside it.

use serde_json::Value;

use super::super::catalog::{BodyFormat, Rules};
use super::{Check, list, malformed, model_rejects, reject, text};

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    let messages = list(request, "messages");
    for (m, message) in messages.iter().enumerate() {
        let content = list(message, "content");
        let results: Vec<&Value> = content
            .iter()
            .filter_map(|block| block.get("toolResult"))
            .collect();
        if results.is_empty() || text(message, "role") != Some("user") {
            continue;
        }
        for (b, block) in content.iter().enumerate() {
            if let Some(result) = block.get("toolResult") {
                inside(m, b, result, rules)?;
            }
        }
        // Rule beside-tool-result.
        if !content.iter().all(|block| may_be_beside(block, rules)) {
            let ids: Vec<&str> = results
                .iter()
                .filter_map(|result| text(result, "toolUseId"))
                .collect();
            return missing(m, &ids.join(", "), rules);
        }
    }
    Ok(())
}

/// The rejection names the results as missing, although they are there.
fn missing(m: usize, ids: &str, rules: &Rules) -> Check {
    if rules.anthropic {
        return model_rejects(format!(
            "messages.{m}: `tool_use` ids were found without `tool_result` blocks immediately after: {ids}. Each `tool_use` block must have a corresponding `tool_result` block in the next message."
        ));
    }
    reject(format!(
        "Expected toolResult blocks at messages.{m}.content for the following Ids: {ids}"
    ))
}

fn may_be_beside(block: &Value, rules: &Rules) -> bool {
    let takes = |name: &str| rules.beside_tool_result.iter().any(|one| one == name);
    for kind in ["text", "image", "video", "audio"] {
        if block.get(kind).is_some() {
            return takes(kind);
        }
    }
    match block.get("document") {
        Some(document) => takes("document") || takes(text(document, "format").unwrap_or("txt")),
        None => true,
    }
}

/// Media within a result.
fn inside(m: usize, b: usize, result: &Value, rules: &Rules) -> Check {
    let takes = |name: &str| rules.tool_result_media.iter().any(|one| one == name);
    for content in list(result, "content") {
        for kind in ["image", "document", "video"] {
            let Some(media) = content.get(kind) else {
                continue;
            };
            let format = text(media, "format").unwrap_or("txt");
            let in_s3 = media.pointer("/source/s3Location").is_some();
            // Nova's text documents may be bytes only.
            let supported = takes(kind) || (kind == "document" && takes(format) && !in_s3);
            if supported {
                continue;
            }
            if rules.body_format == BodyFormat::Nova {
                // Rule nova-tool-result-media.
                return malformed_by_model(m, b);
            }
            return unsupported_block(kind);
        }
    }
    Ok(())
}

/// The rejection of a whole result.
fn malformed_by_model(m: usize, b: usize) -> Check {
    malformed(&format!("#/messages/{m}/content/{b}"), "toolResult").map_err(|mut error| {
        error.message = format!("{}{}", super::MODEL_SAYS, error.message);
        error
    })
}

/// The rejection of media that a model does not support; rule video-wording.
pub(super) fn unsupported_block(kind: &str) -> Check {
    reject(format!(
        "This model doesn't support the {kind} content block that you provided. Update the content block and try again."
    ))
}
