//! Validates `inferenceConfig`, `outputConfig` and thinking.

use serde_json::{Value, json};

use super::super::catalog::Rules;
use super::super::claude;
use super::{Check, list, model_rejects, reject, text, unsupported};

pub(super) fn check(request: &Value, rules: &Rules) -> Check {
    if let Some(config) = request.get("inferenceConfig") {
        numbers(config, rules)?;
        stop_sequences(config, rules)?;
    }
    if let Some(format) = request.pointer("/outputConfig/textFormat") {
        text_format(format, rules)?;
    }
    if let Some(effort) = request.pointer("/outputConfig/effort") {
        output_effort(effort, rules)?;
    }
    thinking(request, rules)
}

fn numbers(config: &Value, rules: &Rules) -> Check {
    if let Some(maximum) = config.get("maxTokens").and_then(Value::as_i64) {
        // Rule model-output-limit.
        let limit = rules.max_tokens;
        if maximum.unsigned_abs() > limit {
            return reject(format!(
                "The maximum tokens you requested exceeds the model limit of {limit}. Try again with a maximum tokens value that is lower than {limit}."
            ));
        }
    }
    let both = config.get("temperature").is_some() && config.get("topP").is_some();
    if both && rules.one_of_temperature_and_top_p {
        return model_rejects(
            "`temperature` and `top_p` cannot both be specified for this model. Please use only one.",
        );
    }
    Ok(())
}

fn stop_sequences(config: &Value, rules: &Rules) -> Check {
    let Some(sequences) = config.get("stopSequences").and_then(Value::as_array) else {
        return Ok(());
    };
    if !rules.stop_sequences {
        return unsupported("stopSequences");
    }
    if sequences.len() > rules.max_stop_sequences {
        return reject(format!(
            "Malformed input request: #/stop_sequences: expected maximum item count: {}, found: {}, please reformat your input and try again.",
            rules.max_stop_sequences,
            sequences.len()
        ));
    }
    Ok(())
}

fn text_format(format: &Value, rules: &Rules) -> Check {
    if !rules.structured_output {
        return unsupported("outputConfig.textFormat");
    }
    let schema = format.pointer("/structure/jsonSchema/schema");
    let schema = schema.and_then(Value::as_str).unwrap_or_default();
    let Ok(schema) = serde_json::from_str::<Value>(schema) else {
        return reject(
            "The value at outputConfig.textFormat.structure.jsonSchema.schema is not valid JSON.",
        );
    };
    claude::schema::exact(&schema, "output_config.format.schema", rules).or_else(model_rejects)
}

/// Converse's own field for effort; families without a list of values do not support it.
fn output_effort(effort: &Value, rules: &Rules) -> Check {
    if rules.effort.is_empty() {
        return unsupported("outputConfig.effort");
    }
    let config = json!({ "effort": effort });
    let flags = json!(rules.effort_flag.as_ref().map(|flag| vec![flag]));
    claude::effort(Some(&config), Some(&flags), rules).or_else(model_rejects)
}

/// Claude's rules for requests with thinking.
/// See <https://docs.claude.com/en/docs/build-with-claude/extended-thinking>.
pub(super) fn thinking(request: &Value, rules: &Rules) -> Check {
    let Some(thinking) = request.pointer("/additionalModelRequestFields/thinking") else {
        return Ok(());
    };
    let kind = text(thinking, "type").unwrap_or_default();
    claude::thinking_type(kind, rules).or_else(model_rejects)?;
    match kind {
        "disabled" => return Ok(()),
        "enabled" | "adaptive" => {}
        other => {
            return model_rejects(format!(
                "thinking: Input tag '{other}' found using 'type' does not match any of the expected tags: 'disabled', 'enabled', 'adaptive'"
            ));
        }
    }
    // Rule thinking-display.
    if let Some(display) = thinking.get("display").filter(|value| !value.is_null())
        && !matches!(display.as_str(), Some("summarized" | "omitted"))
    {
        return model_rejects(format!(
            "thinking.{kind}.display: Input should be 'summarized' or 'omitted'"
        ));
    }
    let config = request.get("inferenceConfig").unwrap_or(&Value::Null);
    if kind == "enabled" {
        let Some(budget) = thinking.get("budget_tokens").and_then(Value::as_u64) else {
            return model_rejects("thinking.enabled.budget_tokens: Field required");
        };
        if budget < 1024 {
            return model_rejects(
                "thinking.enabled.budget_tokens: Input should be greater than or equal to 1024",
            );
        }
        if config
            .get("maxTokens")
            .and_then(Value::as_u64)
            .is_some_and(|maximum| maximum <= budget)
        {
            return model_rejects("`max_tokens` must be greater than `thinking.budget_tokens`.");
        }
    }
    if config
        .get("temperature")
        .and_then(Value::as_f64)
        .is_some_and(|t| t < 1.0)
    {
        return model_rejects("`temperature` may only be set to 1 when thinking is enabled.");
    }
    if config
        .get("topP")
        .and_then(Value::as_f64)
        .is_some_and(|p| p < 0.95)
    {
        return model_rejects(
            "`top_p` must be greater than or equal to 0.95 or unset when thinking is enabled.",
        );
    }
    if request
        .pointer("/additionalModelRequestFields/top_k")
        .is_some()
    {
        return model_rejects("`top_k` must be unset when thinking is enabled.");
    }
    let choice = request.pointer("/toolConfig/toolChoice");
    if choice.is_some_and(|choice| choice.get("any").is_some() || choice.get("tool").is_some()) {
        return model_rejects("Thinking may not be enabled when tool_choice forces tool use.");
    }
    // Adaptive thinking accepts turns without thinking.
    if kind == "adaptive" {
        return Ok(());
    }
    starts_with_thinking(request)
}

/// If the last message has tool results, the assistant's turn before it must start with thinking.
fn starts_with_thinking(request: &Value) -> Check {
    let messages = list(request, "messages");
    let last_is_result = messages.last().is_some_and(|message| {
        list(message, "content")
            .iter()
            .any(|block| block.get("toolResult").is_some())
    });
    if !last_is_result {
        return Ok(());
    }
    let turn = messages
        .iter()
        .enumerate()
        .rev()
        .find(|(_, message)| text(message, "role") == Some("assistant"));
    let Some((index, turn)) = turn else {
        return Ok(());
    };
    let first = list(turn, "content").first();
    if first.is_some_and(|block| block.get("reasoningContent").is_some()) {
        return Ok(());
    }
    let found = if first.is_some_and(|block| block.get("toolUse").is_some()) {
        "tool_use"
    } else {
        "text"
    };
    model_rejects(format!(
        "messages.{index}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
    ))
}
