//! Reasoning effort and thinking budget as the family's own fields.

use bedrock::converse::{ContentBlock, Message, Role};
use serde_json::{Map, Value, json};

use crate::{
    families::{Effort, ReasoningStyle},
    translation::{
        context::Context,
        error::RequestError,
        json::{FieldPath, Json},
        reasoning::{EFFORTS, MIN_BUDGET, Reasoning, from_effort, set_display},
    },
};

/// The effort of adaptive thinking without an effort.
const DEFAULT_EFFORT: &str = "high";

/// The reasoning settings from the effort, or from `thinking` as Anthropic's clients send it. `shown`: whether the
/// client receives the text of the reasoning.
pub(super) fn decide(
    effort: Option<Json<'_>>,
    thinking: Option<Json<'_>>,
    shown: bool,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let root = FieldPath::Root;
    let at = root.key(context.field_names.effort);
    let effort = effort.map(|effort| effort.string(&at)).transpose()?;
    if let Some(effort) = &effort
        && !EFFORTS.contains(&effort.as_ref())
    {
        return Err(RequestError::invalid(
            at.to_string(),
            format!("{effort:?} is not an effort; use {}", EFFORTS.join(", ")),
        ));
    }
    if let Some(thinking) = thinking {
        return explicit(thinking, effort.as_deref(), &root.key("thinking"), context);
    }
    let Some(effort) = effort else {
        return Ok(Reasoning::default());
    };
    let capabilities = &context.capabilities.reasoning;
    if effort == "none" && !capabilities.efforts.contains_key("none") {
        return Ok(Reasoning::default());
    }
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
    Ok(from_effort(capabilities, own, shown))
}

/// `thinking: {type: enabled, budget_tokens}`, `{type: adaptive}` or `{type: disabled}`.
fn explicit(
    thinking: Json<'_>,
    effort: Option<&str>,
    at: &FieldPath<'_>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let capabilities = &context.capabilities.reasoning;
    let own = effort.and_then(|effort| capabilities.efforts.get(effort));
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
    let display = object.string("display", at)?;
    context.drop_unknown(object, at)?;
    let adaptive = kind == "adaptive" || !capabilities.budget;
    if effort.is_some() && !(claude && adaptive) {
        let why = "thinking takes precedence";
        context.warnings.dropped(context.field_names.effort, why)?;
    }
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
            let mut reasoning = from_effort(capabilities, &Effort::Budget(budget), false);
            show(&mut reasoning.fields, display.as_deref());
            Ok(reasoning)
        }
        "enabled" | "adaptive" if capabilities.style == ReasoningStyle::Adaptive => {
            if kind == "enabled" {
                let how = "this model chooses its own budget (adaptive)";
                context.warnings.changed("thinking.budget_tokens", how)?;
            }
            let mut fields = Map::new();
            fields.insert("thinking".to_owned(), json!({"type": "adaptive"}));
            show(&mut fields, display.as_deref());
            if let Some(Effort::Word(word)) = own {
                fields.insert("output_config".to_owned(), json!({"effort": word}));
            }
            Ok(Reasoning {
                fields,
                active: true,
                ..Reasoning::default()
            })
        }
        "adaptive" => {
            let own = own.or_else(|| capabilities.efforts.get(DEFAULT_EFFORT));
            let own = own.cloned().unwrap_or(Effort::Budget(MIN_BUDGET));
            let how = format!(
                "{} does not support adaptive thinking; set to a budget of {} tokens",
                context.capabilities.title,
                own.to_value()
            );
            context.warnings.changed("thinking", &how)?;
            Ok(from_effort(&context.capabilities.reasoning, &own, false))
        }
        other => Err(RequestError::invalid(
            at.key("type").to_string(),
            format!("{other:?} is not supported; use enabled, adaptive or disabled"),
        )),
    }
}

/// Adds the client's `display` to `thinking`.
fn show(fields: &mut Map<String, Value>, display: Option<&str>) {
    if let (Some(thinking), Some(display)) = (fields.get_mut("thinking"), display) {
        set_display(thinking, display);
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
