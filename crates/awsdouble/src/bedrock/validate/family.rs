//! The rules of a model family: system messages, reasoning of earlier turns, additional fields, sampling.

use serde_json::{Map, Value, json};

use super::super::catalog::{BodyFormat, Reasoning, Rules};
use super::super::claude;
use super::super::reply::{reasoning_signature, redacted_reasoning};
use super::{Check, blocks, list, malformed, model_rejects, reject, unsupported};

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    if !rules.system && !list(request, "system").is_empty() {
        return reject(
            "This model doesn't support system messages. Try again without a system message or use a model that supports system messages.",
        );
    }
    reasoning(request, rules)?;
    additional_fields(request, rules)
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

/// The rejection of a field by OpenAI's models.
fn unknown_parameter(name: &str) -> Check {
    let error = json!({ "error": { "code": "unknown_parameter",
        "message": format!("Unknown parameter: '{name}'."),
        "param": name, "type": "invalid_request_error" } });
    model_rejects(error)
}

fn additional_fields(request: &Value, rules: &Rules) -> Check {
    let empty = Map::new();
    let fields = request
        .get("additionalModelRequestFields")
        .and_then(Value::as_object)
        .unwrap_or(&empty);
    for (name, value) in fields {
        if rules.strict_fields && !rules.additional_fields.contains(name) {
            if rules.body_format == BodyFormat::Chat {
                // Rule gpt-fields.
                return unknown_parameter(name);
            }
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
            claude::beta_flags(value, rules).or_else(reject)?;
            claude::converse_flags(value).or_else(model_rejects)?;
        }
    }
    if !rules.anthropic {
        return Ok(());
    }
    let config = fields.get("output_config");
    claude::effort(config, fields.get("anthropic_beta"), rules).or_else(model_rejects)?;
    let thinks = claude::thinks(fields.get("thinking"));
    let sampling = request.get("inferenceConfig").unwrap_or(&Value::Null);
    for (name, value) in [
        ("temperature", sampling.get("temperature")),
        ("top_p", sampling.get("topP")),
        ("top_k", fields.get("top_k")),
    ] {
        claude::sampling(name, value, thinks, rules).or_else(model_rejects)?;
    }
    Ok(())
}
