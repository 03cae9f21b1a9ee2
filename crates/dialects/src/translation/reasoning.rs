//! Reasoning settings in the family's own fields, and the token limit that they require.

use serde_json::{Map, Value, json};

use crate::families::{Effort, ReasoningStyle};

/// All reasoning efforts of OpenAI and Anthropic.
pub(crate) const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Claude's minimum thinking budget, in tokens.
pub(crate) const MIN_BUDGET: u64 = 1024;
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

/// Reasoning with an effort or a budget of the family.
pub(crate) fn from_effort(
    style: ReasoningStyle,
    own: &Effort,
    drops_limits_at: &[String],
) -> Reasoning {
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
            fields.insert("thinking".to_owned(), json!({"type": "adaptive"}));
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
    }
    let drops_limits = matches!(own, Effort::Word(word) if drops_limits_at.contains(word));
    Reasoning {
        fields,
        active: style != ReasoningStyle::None,
        budget,
        drops_limits,
    }
}

/// The token limit including the thinking budget.
pub(crate) fn limit_with_budget(limit: Option<u64>, budget: Option<u64>) -> Option<u64> {
    match (limit, budget) {
        (limit, None) => limit,
        (Some(limit), Some(budget)) => Some(limit.saturating_add(budget)),
        (None, Some(budget)) => Some(budget.saturating_add(RESPONSE_TOKENS)),
    }
}
