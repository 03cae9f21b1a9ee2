//! Reasoning settings in the family's own fields, and the token limit that they require.

use serde_json::{Map, Value, json};

use crate::families::{Effort, ReasoningCapabilities, ReasoningStyle};

/// All reasoning efforts of OpenAI and Anthropic.
pub(crate) const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Claude's minimum thinking budget, in tokens.
pub(crate) const MIN_BUDGET: u64 = 1024;
/// The start of the flag for `display: updates`.
const DISPLAY_FLAG: &str = "thinking-display-updates-";
/// Tokens for the response in addition to the budget, if the client sets no limit.
const RESPONSE_TOKENS: u64 = 4096;

/// The reasoning settings of a request.
#[derive(Debug, Default)]
pub(crate) struct Reasoning {
    /// Model-specific fields.
    pub(crate) fields: Map<String, Value>,
    /// Whether the request enables reasoning.
    pub(crate) active: bool,
    /// Thinking budget in tokens; `maxTokens` has to be greater.
    pub(crate) budget: Option<u64>,
    /// Whether the model rejects sampling parameters and a token limit.
    pub(crate) drops_limits: bool,
}

/// Reasoning with an effort or a budget of the family. `shown`: whether the client requests the text of the reasoning.
pub(crate) fn from_effort(
    capabilities: &ReasoningCapabilities,
    own: &Effort,
    shown: bool,
) -> Reasoning {
    let style = match own {
        // A family with efforts may also support a budget.
        Effort::Budget(_) => ReasoningStyle::Budget,
        Effort::Word(_) => capabilities.style,
    };
    let value = own.to_value();
    let mut fields = Map::new();
    let mut budget = None;
    match style {
        ReasoningStyle::None => {}
        ReasoningStyle::Budget => {
            budget = value.as_u64();
            fields.insert(
                "thinking".to_owned(),
                json!({"type": "enabled", "budget_tokens": value}),
            );
        }
        ReasoningStyle::Adaptive => {
            let mut thinking = json!({"type": "adaptive"});
            if shown && capabilities.display {
                set_display(&mut thinking, "summarized");
            }
            fields.insert("thinking".to_owned(), thinking);
            fields.insert("output_config".to_owned(), json!({"effort": value}));
        }
        ReasoningStyle::ReasoningConfigObject => {
            fields.insert(
                "reasoningConfig".to_owned(),
                json!({"type": "enabled", "maxReasoningEffort": value}),
            );
        }
        ReasoningStyle::ReasoningConfigWord => {
            fields.insert("reasoning_config".to_owned(), value);
        }
        ReasoningStyle::ReasoningEffort => {
            fields.insert("reasoning_effort".to_owned(), value);
        }
        ReasoningStyle::ReasoningObject => {
            fields.insert("reasoning".to_owned(), json!({"effort": value}));
        }
    }
    let drops_limits =
        matches!(own, Effort::Word(word) if capabilities.drops_limits_at.contains(word));
    let is_off = matches!(own, Effort::Word(word) if word == "none");
    Reasoning {
        fields,
        active: style != ReasoningStyle::None && !is_off,
        budget,
        drops_limits,
    }
}

/// Sets `display` of `thinking`.
pub(crate) fn set_display(thinking: &mut Value, display: &str) {
    if let Some(thinking) = thinking.as_object_mut() {
        thinking.insert("display".to_owned(), display.into());
    }
}

/// Replaces `display: updates`, which Claude Code sends with a flag that Bedrock rejects; returns the change. `flags`: the
/// flags that the request has in Bedrock.
pub(crate) fn plain_display(
    thinking: &mut Map<String, Value>,
    flags: &[String],
    capabilities: &ReasoningCapabilities,
) -> Option<&'static str> {
    let has_flag = || flags.iter().any(|flag| flag.starts_with(DISPLAY_FLAG));
    if thinking.get("display")?.as_str()? != "updates" || has_flag() {
        return None;
    }
    if capabilities.display {
        thinking.insert("display".to_owned(), "summarized".into());
        Some("updates needs a beta flag that Bedrock does not support; set to summarized")
    } else {
        // These models show their thinking by default.
        thinking.shift_remove("display");
        Some("updates needs a beta flag that Bedrock does not support; removed")
    }
}

/// A lower thinking budget if `budget` leaves no tokens of a limit for the response.
pub(crate) fn fitting_budget(budget: u64, limit: u64) -> Option<u64> {
    (budget >= limit).then(|| {
        limit
            .saturating_sub(RESPONSE_TOKENS)
            .max(MIN_BUDGET.min(limit.saturating_sub(1)))
    })
}

/// The token limit including the thinking budget.
pub(crate) fn limit_with_budget(limit: Option<u64>, budget: Option<u64>) -> Option<u64> {
    match (limit, budget) {
        (limit, None) => limit,
        (Some(limit), Some(budget)) => Some(limit.saturating_add(budget)),
        (None, Some(budget)) => Some(budget.saturating_add(RESPONSE_TOKENS)),
    }
}
