//! Reasoning effort and thinking budget as the family's own fields.

use bedrock::converse::{ContentBlock, Message, Role};
use serde_json::{Map, json};

use crate::{
    families::{Effort, ReasoningStyle},
    translation::{
        context::Context,
        error::RequestError,
        json::{FieldPath, Json},
        reasoning::{EFFORTS, MIN_BUDGET, Reasoning, from_effort},
    },
};

/// The reasoning settings from the effort, or from `thinking` as Anthropic's clients send it.
pub(super) fn decide(
    effort: Option<Json<'_>>,
    thinking: Option<Json<'_>>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let root = FieldPath::Root;
    if let Some(thinking) = thinking {
        if effort.is_some() {
            let why = "thinking takes precedence";
            context.warnings.dropped(context.field_names.effort, why)?;
        }
        return explicit(thinking, &root.key("thinking"), context);
    }
    let Some(effort) = effort else {
        return Ok(Reasoning::default());
    };
    let at = root.key(context.field_names.effort);
    let effort = effort.string(&at)?;
    if !EFFORTS.contains(&effort.as_ref()) {
        return Err(RequestError::invalid(
            at.to_string(),
            format!("{effort:?} is not an effort; use {}", EFFORTS.join(", ")),
        ));
    }
    if effort == "none" {
        return Ok(Reasoning::default());
    }
    let capabilities = &context.capabilities.reasoning;
    if capabilities.style == ReasoningStyle::None {
        let why = format!("{} has no reasoning settings", context.capabilities.title);
        context.warnings.dropped(context.field_names.effort, &why)?;
        return Ok(Reasoning::default());
    }
    let Some(own) = capabilities.efforts.get(effort.as_ref()) else {
        let known: Vec<_> = capabilities.efforts.keys().map(String::as_str).collect();
        return Err(RequestError::unsupported(
            at.to_string(),
            format!(
                "{} supports {}",
                context.capabilities.title,
                known.join(", ")
            ),
        ));
    };
    Ok(from_effort(
        capabilities.style,
        own,
        &capabilities.drops_limits_at,
    ))
}

/// `thinking: {type: enabled, budget_tokens}`, `{type: adaptive}` or `{type: disabled}`.
fn explicit(
    thinking: Json<'_>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let capabilities = &context.capabilities.reasoning;
    let claude = matches!(
        capabilities.style,
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
            "{} does not support thinking (use {})",
            context.capabilities.title, context.field_names.effort
        );
        context.warnings.dropped("thinking", &why)?;
        return Ok(Reasoning::default());
    }
    match kind.as_ref() {
        "enabled" if capabilities.budget => {
            let budget = budget.ok_or_else(|| {
                RequestError::missing(at.key("budget_tokens").to_string(), "is required")
            })?;
            if budget < MIN_BUDGET {
                return Err(RequestError::invalid(
                    at.key("budget_tokens").to_string(),
                    format!("must be at least {MIN_BUDGET}"),
                ));
            }
            let own = Effort::Budget(budget);
            Ok(from_effort(ReasoningStyle::Budget, &own, &[]))
        }
        "enabled" | "adaptive" if capabilities.style == ReasoningStyle::Adaptive => {
            if kind == "enabled" {
                let how = "this model chooses its own budget (adaptive)";
                context.warnings.changed("thinking.budget_tokens", how)?;
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
                "{} requires \"enabled\" with budget_tokens",
                context.capabilities.title
            ),
        )),
        other => Err(RequestError::invalid(
            at.key("type").to_string(),
            format!("{other:?} is not supported; use enabled, adaptive or disabled"),
        )),
    }
}

/// Disables reasoning if the model requires a turn with tool calls to start with its signed reasoning and the
/// client did not replay it: most OpenAI clients never do.
pub(super) fn check_replay(
    reasoning: &mut Reasoning,
    messages: &[Message<'_>],
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    if !reasoning.active
        || reasoning.budget.is_none()
        || !context.capabilities.reasoning.needs_replay
    {
        return Ok(());
    }
    let Some((last, before)) = messages.split_last() else {
        return Ok(());
    };
    let has_results = last
        .content
        .iter()
        .any(|block| matches!(block, ContentBlock::ToolResult(_)));
    let turn = before
        .last()
        .filter(|turn| turn.role == Role::Assistant && has_results);
    let unsigned = turn.is_some_and(|turn| {
        !matches!(
            turn.content.first(),
            Some(ContentBlock::ReasoningContent(_))
        )
    });
    if unsigned {
        let how = format!(
            "reasoning is disabled in this turn: the tool calls were replayed without {}",
            context.field_names.replay
        );
        context.warnings.changed(context.field_names.effort, &how)?;
        *reasoning = Reasoning::default();
    }
    Ok(())
}
