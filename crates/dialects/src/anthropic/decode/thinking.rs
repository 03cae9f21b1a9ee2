//! `thinking` and `output_config.effort` as the family's own fields.

use serde_json::{Map, Value, json};

use super::Purpose;
use crate::{
    families::{Effort, ModelCapabilities, ReasoningStyle},
    translation::{
        RequestError,
        context::Context,
        json::{FieldPath, Json, Object},
        reasoning::{MIN_BUDGET, Reasoning, from_effort, plain_display},
    },
};

/// Anthropic's efforts.
const EFFORTS: [&str; 5] = ["low", "medium", "high", "xhigh", "max"];
/// The effort of adaptive thinking without an effort.
const DEFAULT_EFFORT: &str = "high";
/// Minimum budget in tokens for the effort medium; smaller budgets are low.
const MEDIUM_FROM: u64 = 4096;
/// Minimum budget in tokens for the effort high.
const HIGH_FROM: u64 = 16384;

/// The client's thinking setting.
enum Wanted {
    Unset,
    Disabled,
    /// A budget of tokens.
    Enabled(u64),
    Adaptive,
}

/// The reasoning settings; `limit` is `max_tokens`.
pub(super) fn decide(
    body: &mut Object<'_>,
    output: &mut Object<'_>,
    limit: Option<u64>,
    purpose: Purpose,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let at = FieldPath::Root;
    let at = at.key("thinking");
    let (wanted, given) = match body.take("thinking") {
        None => (Wanted::Unset, Map::new()),
        Some(given) => read(given, &at)?,
    };
    if let (Wanted::Enabled(budget), Some(limit), Purpose::Respond) = (&wanted, limit, purpose)
        && limit <= *budget
    {
        return Err(RequestError::invalid(
            "max_tokens",
            format!("must be greater than thinking.budget_tokens, which is {budget}"),
        ));
    }
    let effort = effort(output, context)?;
    match context.capabilities.reasoning.style {
        ReasoningStyle::Budget | ReasoningStyle::Adaptive => {
            claude(&wanted, given, effort, limit, context)
        }
        ReasoningStyle::None => {
            let why = format!("{} has no reasoning settings", context.capabilities.title);
            if matches!(wanted, Wanted::Enabled(_) | Wanted::Adaptive) {
                context.warnings.dropped("thinking", &why)?;
            }
            if effort.is_some() {
                context.warnings.dropped("output_config.effort", &why)?;
            }
            Ok(Reasoning::default())
        }
        _ => other(&wanted, effort, context),
    }
}

/// Reads `thinking`; only Claude supports its other members.
fn read(given: Json<'_>, at: &FieldPath<'_>) -> Result<(Wanted, Map<String, Value>), RequestError> {
    let Value::Object(given) = given.into_value(at)? else {
        return Err(RequestError::invalid(at.to_string(), "expected an object"));
    };
    let wanted = match given.get("type").and_then(Value::as_str) {
        Some("disabled") => Wanted::Disabled,
        Some("adaptive") => Wanted::Adaptive,
        Some("enabled") => {
            let at = at.key("budget_tokens");
            let budget = given.get("budget_tokens").and_then(Value::as_u64);
            let budget = budget
                .ok_or_else(|| RequestError::missing(at.to_string(), "must be a whole number"))?;
            if budget < MIN_BUDGET {
                return Err(RequestError::invalid(
                    at.to_string(),
                    format!("must be at least {MIN_BUDGET}"),
                ));
            }
            Wanted::Enabled(budget)
        }
        _ => {
            return Err(RequestError::invalid(
                at.key("type").to_string(),
                "expected enabled, adaptive or disabled",
            ));
        }
    };
    Ok((wanted, given))
}

/// Reads `output_config.effort`.
fn effort(output: &mut Object<'_>, context: &Context<'_>) -> Result<Option<String>, RequestError> {
    let at = FieldPath::Root;
    let Some(effort) = output.string("effort", &at.key("output_config"))? else {
        return Ok(None);
    };
    if EFFORTS.contains(&effort.as_ref()) {
        return Ok(Some(effort.into_owned()));
    }
    Err(RequestError::invalid(
        context.field_names.effort,
        format!("{effort:?} is not an effort; use {}", EFFORTS.join(", ")),
    ))
}

/// The settings for Claude, which gets its own fields unchanged.
fn claude(
    wanted: &Wanted,
    given: Map<String, Value>,
    effort: Option<String>,
    limit: Option<u64>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let capabilities = &context.capabilities.reasoning;
    let adaptive = capabilities.style == ReasoningStyle::Adaptive;
    let mut reasoning = Reasoning::default();
    let mut thinking = Value::Object(given);
    match wanted {
        Wanted::Unset => {}
        Wanted::Disabled => {
            reasoning.fields.insert("thinking".to_owned(), thinking);
        }
        Wanted::Enabled(budget) => {
            if capabilities.budget {
                reasoning.budget = Some(*budget);
            } else {
                let how = "this model chooses its own budget (adaptive)";
                context.warnings.changed("thinking.budget_tokens", how)?;
                if let Some(object) = thinking.as_object_mut() {
                    object.shift_remove("budget_tokens");
                    object.insert("type".to_owned(), "adaptive".into());
                }
            }
            reasoning.active = true;
            reasoning.fields.insert("thinking".to_owned(), thinking);
        }
        Wanted::Adaptive if adaptive => {
            reasoning.active = true;
            reasoning.fields.insert("thinking".to_owned(), thinking);
        }
        Wanted::Adaptive => return budgeted(thinking, effort.as_deref(), limit, context),
    }
    let Some(effort) = effort else {
        return Ok(reasoning);
    };
    let has_flag = context
        .capabilities
        .betas
        .iter()
        .any(|flag| flag.starts_with("effort-"));
    let own = context.capabilities.reasoning.efforts.get(&effort);
    match own {
        Some(Effort::Word(word)) if adaptive => {
            let config = json!({"effort": word});
            reasoning.fields.insert("output_config".to_owned(), config);
        }
        _ if has_flag => {
            let config = json!({"effort": effort});
            reasoning.fields.insert("output_config".to_owned(), config);
        }
        _ => {
            let why = format!("not supported by {}", context.capabilities.title);
            context.warnings.dropped("output_config.effort", &why)?;
        }
    }
    Ok(reasoning)
}

/// A budget for Claude models without adaptive thinking.
fn budgeted(
    mut thinking: Value,
    effort: Option<&str>,
    limit: Option<u64>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let capabilities = &context.capabilities.reasoning;
    let wanted = match capabilities.efforts.get(effort.unwrap_or(DEFAULT_EFFORT)) {
        Some(Effort::Budget(budget)) => *budget,
        _ => MIN_BUDGET,
    };
    // At most half of the limit, so that tokens remain for the response.
    let budget = limit.map_or(wanted, |limit| wanted.min(limit / 2));
    if budget < MIN_BUDGET {
        let why = "max_tokens is too small for the minimum budget";
        context.warnings.dropped("thinking", why)?;
        return Ok(Reasoning::default());
    }
    let how = format!(
        "{} does not support adaptive thinking; set to a budget of {budget} tokens",
        context.capabilities.title
    );
    context.warnings.changed("thinking", &how)?;
    let mut reasoning = Reasoning {
        active: true,
        budget: Some(budget),
        ..Reasoning::default()
    };
    if let Some(object) = thinking.as_object_mut() {
        object.insert("type".to_owned(), "enabled".into());
        object.insert("budget_tokens".to_owned(), budget.into());
    }
    reasoning.fields.insert("thinking".to_owned(), thinking);
    Ok(reasoning)
}

/// Replaces a `display` that needs a beta flag which the request does not have.
pub(super) fn show_plainly(
    reasoning: &mut Reasoning,
    flags: &[String],
    context: &mut Context<'_>,
) -> Result<(), RequestError> {
    let thinking = reasoning.fields.get_mut("thinking");
    let Some(thinking) = thinking.and_then(Value::as_object_mut) else {
        return Ok(());
    };
    match plain_display(thinking, flags, &context.capabilities.reasoning) {
        Some(how) => context.warnings.changed("thinking.display", how),
        None => Ok(()),
    }
}

/// Adds the beta flag for efforts, for models that require it.
pub(super) fn add_flag(flags: &mut Vec<String>, capabilities: &ModelCapabilities) {
    let known = capabilities
        .betas
        .iter()
        .find(|flag| flag.starts_with("effort-"));
    if let Some(flag) = known.filter(|_| capabilities.reasoning.style == ReasoningStyle::Budget)
        && !flags.contains(flag)
    {
        flags.push(flag.clone());
    }
}

/// The settings for other families: an effort in their own fields.
fn other(
    wanted: &Wanted,
    effort: Option<String>,
    context: &mut Context<'_>,
) -> Result<Reasoning, RequestError> {
    let capabilities = &context.capabilities.reasoning;
    let effort = match (wanted, effort) {
        (Wanted::Disabled, _) => {
            let off = capabilities.efforts.get("none");
            return Ok(off.map_or_else(Reasoning::default, |off| {
                from_effort(capabilities, off, false)
            }));
        }
        (Wanted::Unset, None) => return Ok(Reasoning::default()),
        (_, Some(effort)) => effort,
        (Wanted::Enabled(budget), None) => {
            let word = match *budget {
                ..MEDIUM_FROM => "low",
                MEDIUM_FROM..HIGH_FROM => "medium",
                HIGH_FROM.. => "high",
            };
            word.to_owned()
        }
        (Wanted::Adaptive, None) => "medium".to_owned(),
    };
    let Some(own) = capabilities.efforts.get(&effort).cloned() else {
        let known: Vec<_> = capabilities.efforts.keys().map(String::as_str).collect();
        return Err(RequestError::unsupported(
            context.field_names.effort,
            format!(
                "{} supports {}",
                context.capabilities.title,
                known.join(", ")
            ),
        ));
    };
    if !matches!(wanted, Wanted::Unset) {
        let how = format!("sent as the effort {}", own.to_value());
        context.warnings.changed("thinking", &how)?;
    }
    Ok(from_effort(&context.capabilities.reasoning, &own, false))
}
