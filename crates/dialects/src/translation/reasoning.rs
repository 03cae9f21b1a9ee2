//! Reasoning in the family's own words, and the room it needs.

use serde_json::{Map, Value, json};

use crate::families::{Effort, ReasoningStyle};

/// Every word of OpenAI's and Anthropic's for how much to think.
pub(crate) const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Smallest budget Claude takes, in tokens.
pub(crate) const MIN_BUDGET: u64 = 1024;
/// Room for the answer beside the budget where the client sets no limit, in tokens.
const ROOM_FOR_ANSWER: u64 = 4096;

/// What was decided.
#[derive(Debug, Default)]
pub(crate) struct Reasoning {
    /// To be put among the additional fields.
    pub(crate) fields: Map<String, Value>,
    /// Whether the model thinks, as far as the request says.
    pub(crate) active: bool,
    /// Tokens for thinking, which `maxTokens` has to exceed.
    pub(crate) budget: Option<u64>,
    /// Whether sampling parameters and a limit of tokens are refused.
    pub(crate) drops_limits: bool,
}

/// Reasoning by an effort in the family's own word, or a budget.
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

/// The limit of tokens that leaves room beside the budget.
pub(crate) fn limit_with_budget(limit: Option<u64>, budget: Option<u64>) -> Option<u64> {
    match (limit, budget) {
        (limit, None) => limit,
        (Some(limit), Some(budget)) => Some(limit.saturating_add(budget)),
        (None, Some(budget)) => Some(budget.saturating_add(ROOM_FOR_ANSWER)),
    }
}
