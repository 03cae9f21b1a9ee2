//! Reasoning: how much of it, in the family's own words, and what it rules out.

use bedrock::converse::{ContentBlock, Message, Role};
use serde_json::{Map, Value, json};

use super::{
    super::{
        error::RequestError,
        json::{At, Json},
    },
    request::Context,
};
use crate::families::{Effort, ReasoningStyle};

/// Every word of OpenAI's and Anthropic's for how much to think.
const EFFORTS: [&str; 7] = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
/// Smallest budget Claude takes, in tokens.
const LEAST_BUDGET: u64 = 1024;
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

/// Decides from `reasoning_effort`, or from `thinking` as clients of Claude send it.
pub(crate) fn decide(
    effort: Option<Json<'_>>,
    thinking: Option<Json<'_>>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let root = At::Root;
    if let Some(thinking) = thinking {
        if effort.is_some() {
            let why = "thinking says the same more exactly";
            context.notes.dropped(context.words.effort, why)?;
        }
        return explicit(thinking, &root.key("thinking"), context);
    }
    let Some(effort) = effort else {
        return Ok(Reasoning::default());
    };
    let at = root.key(context.words.effort);
    let effort = effort.string(&at)?;
    if !EFFORTS.contains(&effort.as_ref()) {
        return Err(RequestError::invalid(
            at.to_string(),
            format!("{effort:?} is no effort; use {}", EFFORTS.join(", ")),
        ));
    }
    if effort == "none" {
        return Ok(Reasoning::default());
    }
    let facts = &context.facts.reasoning;
    if facts.style == ReasoningStyle::None {
        let why = format!("{} has no reasoning to set", context.facts.title);
        context.notes.dropped(context.words.effort, &why)?;
        return Ok(Reasoning::default());
    }
    let Some(own) = facts.efforts.get(effort.as_ref()) else {
        let known: Vec<_> = facts.efforts.keys().map(String::as_str).collect();
        return Err(RequestError::unsupported(
            at.to_string(),
            format!("{} takes {}", context.facts.title, known.join(", ")),
        ));
    };
    Ok(from_effort(facts.style, own, &facts.drops_limits_at))
}

fn from_effort(style: ReasoningStyle, own: &Effort, drops_limits_at: &[String]) -> Reasoning {
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

/// `thinking: {type: enabled, budget_tokens}`, `{type: adaptive}` or `{type: disabled}`.
fn explicit(
    thinking: Json<'_>,
    at: &At<'_>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let facts = &context.facts.reasoning;
    let claude = matches!(
        facts.style,
        ReasoningStyle::Budget | ReasoningStyle::Adaptive
    );
    let mut object = thinking.object(at)?;
    let kind = object.required_string("type", at)?;
    let budget = object
        .take("budget_tokens")
        .map(|value| value.whole(&at.key("budget_tokens")))
        .transpose()?;
    if kind == "disabled" {
        return Ok(Reasoning::default());
    }
    if !claude {
        let why = format!(
            "{} has no such thinking; use {}",
            context.facts.title, context.words.effort
        );
        context.notes.dropped("thinking", &why)?;
        return Ok(Reasoning::default());
    }
    match kind.as_ref() {
        "enabled" if facts.budget => {
            let budget = budget.ok_or_else(|| {
                RequestError::missing(at.key("budget_tokens").to_string(), "must be given")
            })?;
            if budget < LEAST_BUDGET {
                return Err(RequestError::invalid(
                    at.key("budget_tokens").to_string(),
                    format!("must be at least {LEAST_BUDGET}"),
                ));
            }
            let own = Effort::Budget(budget);
            Ok(from_effort(ReasoningStyle::Budget, &own, &[]))
        }
        "enabled" | "adaptive" if facts.style == ReasoningStyle::Adaptive => {
            if kind == "enabled" {
                let how = "this model decides on its budget itself (adaptive)";
                context.notes.changed("thinking.budget_tokens", how)?;
            }
            let mut fields = Map::new();
            fields.insert("thinking".to_owned(), json!({"type": "adaptive"}));
            Ok(Reasoning {
                fields,
                active: true,
                ..Reasoning::default()
            })
        }
        "adaptive" => Err(RequestError::unsupported(
            at.key("type").to_string(),
            format!(
                "{} needs \"enabled\" and budget_tokens",
                context.facts.title
            ),
        )),
        other => Err(RequestError::invalid(
            at.key("type").to_string(),
            format!("{other:?} is not enabled, adaptive or disabled"),
        )),
    }
}

/// Where a turn that called tools has to begin with its signed reasoning but does not, the model
/// cannot think in this request: most clients of OpenAI's never send reasoning back.
pub(crate) fn check_replay(
    reasoning: &mut Reasoning,
    messages: &[Message<'_>],
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    if !reasoning.active || reasoning.budget.is_none() || !context.facts.reasoning.needs_replay {
        return Ok(());
    }
    let Some((last, before)) = messages.split_last() else {
        return Ok(());
    };
    let answers = last
        .content
        .iter()
        .any(|block| matches!(block, ContentBlock::ToolResult(_)));
    let turn = before
        .last()
        .filter(|turn| turn.role == Role::Assistant && answers);
    let unsigned = turn.is_some_and(|turn| {
        !matches!(
            turn.content.first(),
            Some(ContentBlock::ReasoningContent(_))
        )
    });
    if unsigned {
        let how = format!(
            "no reasoning in this turn: the tool calls came back without their {}",
            context.words.replay
        );
        context.notes.changed(context.words.effort, &how)?;
        *reasoning = Reasoning::default();
    }
    Ok(())
}

/// The limit of tokens that leaves room beside the budget.
pub(crate) fn limit_with_budget(limit: Option<u64>, budget: Option<u64>) -> Option<u64> {
    match (limit, budget) {
        (limit, None) => limit,
        (Some(limit), Some(budget)) => Some(limit.saturating_add(budget)),
        (None, Some(budget)) => Some(budget.saturating_add(ROOM_FOR_ANSWER)),
    }
}
