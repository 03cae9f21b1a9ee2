//! Adapts thinking, effort, sampling and token limit to what the model supports, by the same table as in Converse. A
//! request that needs no change keeps its bytes.

use serde_json::{Value, json};

use super::{Member, Request, Slice, has_beta, json_edits::mentions};
use crate::{
    families::{Choice, Effort, ModelCapabilities, ReasoningStyle, SchemaMode, TopK},
    translation::{
        DecodeOptions, RequestError,
        reasoning::{MIN_BUDGET, fitting_budget, plain_display},
        schema::{self, CLOSED},
        tools::NOT_FORCED,
    },
};

/// The effort of adaptive thinking without an effort.
const DEFAULT_EFFORT: &str = "high";

/// The members of a body, which are found once.
pub(super) struct Root<'m, 't>(pub(super) &'m [Member<'t>]);

impl<'t> Root<'_, 't> {
    pub(super) fn get(&self, key: &str) -> Option<Slice<'t>> {
        let found = self.0.iter().rfind(|member| member.key == key)?;
        Some(found.value)
    }

    /// Whether the request declares tools; without them, Claude rejects a tool choice.
    pub(super) fn has_tools(&self) -> bool {
        let tools = self.get("tools");
        tools.is_some_and(|tools| !tools.members().is_empty())
    }
}

/// Whether only Converse can serve a request that the model does not support in Claude's own API: structured output by a
/// tool, or a tool choice by an instruction.
pub fn needs_converse(body: &[u8], options: &DecodeOptions<'_>) -> bool {
    let capabilities = options.capabilities;
    let has_formats = capabilities.json_schema == SchemaMode::Native;
    let forces_tools = capabilities.tools.choice.contains(&Choice::Any);
    if has_formats && forces_tools {
        return false;
    }
    let Ok(text) = simdutf8::basic::from_utf8(body) else {
        return false;
    };
    let may = ["output_config", "output_format", "tool_choice"];
    if !may.iter().any(|name| mentions(text, name)) {
        return false;
    }
    let members = Slice::new(text).members();
    let root = Root(&members);
    let has_format = || format(&root).is_some();
    let forces = || {
        let choice = root.get("tool_choice");
        let kind = choice.and_then(|choice| choice.get("type")?.string());
        matches!(kind.as_deref(), Some("any" | "tool"))
    };
    (!has_formats && has_format()) || (!forces_tools && forces())
}

/// `output_config.format`, or its deprecated form, and its name.
fn format<'t>(root: &Root<'_, 't>) -> Option<(Slice<'t>, &'static str)> {
    let current = root
        .get("output_config")
        .and_then(|config| config.get("format"))
        .map(|format| (format, "output_config.format"));
    let deprecated = || root.get(DEPRECATED).map(|format| (format, DEPRECATED));
    current
        .or_else(deprecated)
        .filter(|(format, _)| !format.is_null())
}

/// Adds the flag that efforts require on some models.
pub(super) fn add_flags(
    root: &Root<'_, '_>,
    flags: &mut Vec<String>,
    capabilities: &ModelCapabilities,
) {
    let effort = root
        .get("output_config")
        .and_then(|config| config.get("effort"))
        .filter(|effort| !effort.is_null());
    if let Some(flag) = effort_flag(capabilities).filter(|_| effort.is_some())
        && !flags.iter().any(|known| known == flag)
    {
        flags.push(flag.to_owned());
    }
}

/// The flag of efforts, for models that require it.
fn effort_flag(capabilities: &ModelCapabilities) -> Option<&str> {
    let known = capabilities.betas.iter();
    known
        .map(String::as_str)
        .find(|flag| flag.starts_with("effort-"))
        .filter(|_| capabilities.reasoning.style == ReasoningStyle::Budget)
}

/// Adapts the fields; returns the members of the body to remove.
///
/// # Errors
/// When the model does not support a field that determines the response, or in strict mode when a field would change.
pub(super) fn fields(
    root: &Root<'_, '_>,
    request: &mut Request<'_, '_>,
) -> Result<Vec<&'static str>, RequestError> {
    let mut removed = Vec::new();
    let limit = limit(root, request)?;
    let active = thinking(root, limit, request, &mut removed)?;
    let forces = active && !request.options.capabilities.reasoning.forced_tool;
    if forces && root.has_tools() {
        choice(root, request)?;
    }
    effort(root, request, &mut removed)?;
    sampling(root, active, request, &mut removed)?;
    stop(root, request, &mut removed)?;
    exact_schema(root, request)?;
    Ok(removed)
}

/// Lowers `max_tokens` to the family's maximum; returns the limit.
fn limit(root: &Root<'_, '_>, request: &mut Request<'_, '_>) -> Result<Option<u64>, RequestError> {
    let Some(value) = root.get("max_tokens") else {
        return Ok(None);
    };
    let given: Option<u64> = value.json().parse().ok();
    let capabilities = request.options.capabilities;
    match (given, capabilities.limits.output_tokens) {
        (Some(limit), Some(most)) if limit > most && !has_beta(request.flags, "output-128k-") => {
            let how = format!("lowered to {most}, the maximum of {}", capabilities.title);
            request.warnings.changed("max_tokens", &how)?;
            request.edits.replace(&value, most.to_string());
            Ok(Some(most))
        }
        _ => Ok(given),
    }
}

/// Adapts `thinking`; returns whether the model thinks.
fn thinking(
    root: &Root<'_, '_>,
    limit: Option<u64>,
    request: &mut Request<'_, '_>,
    removed: &mut Vec<&'static str>,
) -> Result<bool, RequestError> {
    let Some(value) = root.get("thinking") else {
        return Ok(false);
    };
    let Ok(Value::Object(mut thinking)) = serde_json::from_str(value.json()) else {
        return Ok(false);
    };
    let capabilities = request.options.capabilities;
    let title = &capabilities.title;
    let kind = thinking.get("type").and_then(Value::as_str).unwrap_or("");
    let kind = kind.to_owned();
    if capabilities.reasoning.style == ReasoningStyle::None {
        removed.push("thinking");
        if kind != "disabled" {
            request.dropped("thinking", &format!("{title} has no reasoning settings"))?;
        }
        return Ok(false);
    }
    let how = match kind.as_str() {
        "enabled" if !capabilities.reasoning.budget => {
            thinking.insert("type".to_owned(), "adaptive".into());
            thinking.shift_remove("budget_tokens");
            Some("this model chooses its own budget (adaptive)".to_owned())
        }
        "enabled" => {
            let budget = thinking.get("budget_tokens").and_then(Value::as_u64);
            let most = capabilities.limits.output_tokens;
            // A budget above the client's own limit is the client's mistake.
            let lowered = limit.filter(|limit| Some(*limit) == most);
            let fitting = budget
                .zip(lowered)
                .and_then(|(budget, limit)| fitting_budget(budget, limit));
            fitting.map(|fitting| {
                thinking.insert("budget_tokens".to_owned(), fitting.into());
                format!("the budget was lowered to {fitting} tokens")
            })
        }
        "adaptive" if capabilities.reasoning.style == ReasoningStyle::Budget => {
            let budget = budget(root, limit, capabilities);
            if budget < MIN_BUDGET {
                removed.push("thinking");
                let why = "max_tokens is too small for the minimum budget";
                request.dropped("thinking", why)?;
                return Ok(false);
            }
            thinking.insert("type".to_owned(), "enabled".into());
            thinking.insert("budget_tokens".to_owned(), budget.into());
            Some(format!(
                "{title} does not support adaptive thinking; set to a budget of {budget} tokens"
            ))
        }
        _ => None,
    };
    let shown = plain_display(&mut thinking, request.flags, &capabilities.reasoning);
    let changes = [("thinking", how.as_deref()), ("thinking.display", shown)];
    for (field, how) in changes {
        if let Some(how) = how {
            request.warnings.changed(field, how)?;
        }
    }
    if how.is_some() || shown.is_some() {
        request
            .edits
            .replace(&value, Value::Object(thinking).to_string());
    }
    Ok(kind != "disabled")
}

/// Lowers a forced tool to `auto` while the model thinks, as in Converse.
fn choice(root: &Root<'_, '_>, request: &mut Request<'_, '_>) -> Result<(), RequestError> {
    let choice = root.get("tool_choice");
    let Some((choice, kind)) = choice.and_then(|choice| Some((choice, choice.get("type")?))) else {
        return Ok(());
    };
    if matches!(kind.string().as_deref(), Some("any" | "tool")) {
        request.warnings.changed("tool_choice", NOT_FORCED)?;
        request.edits.replace(&kind, "\"auto\"");
        request
            .edits
            .remove(&choice.members(), |member| member.key == "name");
    }
    Ok(())
}

/// The budget for adaptive thinking on a model with budgets.
fn budget(root: &Root<'_, '_>, limit: Option<u64>, capabilities: &ModelCapabilities) -> u64 {
    let effort = root
        .get("output_config")
        .and_then(|config| config.get("effort")?.string());
    let effort = effort.as_deref().unwrap_or(DEFAULT_EFFORT);
    let wanted = match capabilities.reasoning.efforts.get(effort) {
        Some(Effort::Budget(budget)) => *budget,
        _ => MIN_BUDGET,
    };
    // At most half of the limit, so that tokens remain for the response.
    limit.map_or(wanted, |limit| wanted.min(limit / 2))
}

/// Adapts `output_config.effort`.
fn effort(
    root: &Root<'_, '_>,
    request: &mut Request<'_, '_>,
    removed: &mut Vec<&'static str>,
) -> Result<(), RequestError> {
    let Some(config) = root.get("output_config").filter(Slice::is_object) else {
        return Ok(());
    };
    let Some(value) = config.get("effort") else {
        return Ok(());
    };
    let capabilities = request.options.capabilities;
    let given = value.string().unwrap_or_default();
    let unset = value.is_null();
    match (
        capabilities.reasoning.style,
        capabilities.reasoning.efforts.get(given.as_ref()),
    ) {
        (ReasoningStyle::Adaptive, Some(Effort::Word(own))) if *own != given => {
            let how = format!("sent as {own}");
            request.warnings.changed("output_config.effort", &how)?;
            request.edits.replace(&value, json!(own).to_string());
            return Ok(());
        }
        _ if unset => {}
        (ReasoningStyle::Adaptive, _) => return Ok(()),
        _ if effort_flag(capabilities).is_some() => return Ok(()),
        _ => {}
    }
    let members = config.members();
    if members.len() > 1 {
        request
            .edits
            .remove(&members, |member| member.key == "effort");
    } else if let Some(format) = root.get(DEPRECATED).filter(|format| !format.is_null()) {
        // The deprecated form moves into the object; this replacement includes that edit.
        let format = closed_format(&format, request)?;
        request
            .edits
            .replace(&config, format!("{{\"format\":{format}}}"));
    } else {
        removed.push("output_config");
    }
    let adaptive = root
        .get("thinking")
        .and_then(|thinking| thinking.get("type")?.string())
        .is_some_and(|kind| kind == "adaptive");
    if unset || (adaptive && capabilities.reasoning.style == ReasoningStyle::Budget) {
        // Unset, or it determined the budget.
        return Ok(());
    }
    let why = format!("not supported by {}", capabilities.title);
    request.dropped("output_config.effort", &why)
}

/// Drops sampling fields that the model rejects; its defaults are accepted.
fn sampling(
    root: &Root<'_, '_>,
    active: bool,
    request: &mut Request<'_, '_>,
    removed: &mut Vec<&'static str>,
) -> Result<(), RequestError> {
    let capabilities = request.options.capabilities;
    let rules = &capabilities.sampling;
    let thinks = active && capabilities.reasoning.drops_sampling;
    let number = |key| -> Option<f64> { root.get(key)?.json().parse().ok() };
    let mut drop = |key: &'static str, supported: bool| {
        removed.push(key);
        let when = if supported { " while reasoning" } else { "" };
        let why = format!("not supported by {}{when}", capabilities.title);
        request.dropped(key, &why)
    };
    let differs = |value: f64| (value - 1.0).abs() > f64::EPSILON;
    let temperature = number("temperature").filter(|value| differs(*value));
    if temperature.is_some() && (!rules.temperature || thinks) {
        drop("temperature", rules.temperature)?;
    }
    let mut top_p = number("top_p").filter(|value| differs(*value));
    // While thinking, values from 0.95 are accepted.
    if top_p.is_some_and(|value| !rules.top_p || (thinks && value < 0.95)) {
        drop("top_p", rules.top_p)?;
        top_p = None;
    }
    if number("top_k").is_some() && (rules.top_k == TopK::None || thinks) {
        drop("top_k", rules.top_k != TopK::None)?;
    }
    let both = number("temperature").is_some() && !removed.contains(&"temperature");
    if both && top_p.is_some() && !rules.both {
        removed.push("top_p");
        let title = &capabilities.title;
        let why = format!("{title} does not support both temperature and top_p");
        request.dropped("top_p", &why)?;
    }
    Ok(())
}

/// Removes stop sequences without a visible character, which Claude rejects.
fn stop(
    root: &Root<'_, '_>,
    request: &mut Request<'_, '_>,
    removed: &mut Vec<&'static str>,
) -> Result<(), RequestError> {
    const NAME: &str = "stop_sequences";
    let sequences = root.get(NAME).map(|list| list.members());
    let sequences = sequences.unwrap_or_default();
    let has = |member: &Member<'_>, wanted: fn(&str) -> bool| {
        member.value.string().is_some_and(|text| wanted(&text))
    };
    let is_blank = |member: &Member<'_>| has(member, |text| text.trim().is_empty());
    if !sequences.iter().any(is_blank) {
        return Ok(());
    }
    let is_space = |text: &str| !text.is_empty() && text.trim().is_empty();
    if sequences.iter().any(|one| has(one, is_space)) {
        let title = &request.options.capabilities.title;
        let why = format!("{title} does not support stop sequences of whitespace only");
        request.dropped(NAME, &why)?;
    }
    if request.edits.remove(&sequences, is_blank) == 0 {
        removed.push(NAME);
    }
    Ok(())
}

/// Closes the schema of structured output, as in Converse.
fn exact_schema(root: &Root<'_, '_>, request: &mut Request<'_, '_>) -> Result<(), RequestError> {
    let Some((format, name)) = format(root) else {
        return Ok(());
    };
    let capabilities = request.options.capabilities;
    if capabilities.json_schema != SchemaMode::Native {
        return Err(RequestError::unsupported(
            name,
            format!(
                "Claude's own API has no structured output for {}; use a target with `api: Converse`",
                capabilities.title
            ),
        ));
    }
    match format.get("schema") {
        // The deprecated form is closed where it is moved.
        Some(schema) if name != DEPRECATED => close(&schema, &format!("{name}.schema"), request),
        _ => Ok(()),
    }
}

/// The deprecated form of `output_config.format`.
pub(super) const DEPRECATED: &str = "output_format";

/// The value of the deprecated form, with a closed schema.
pub(super) fn closed_format(
    value: &Slice<'_>,
    request: &mut Request<'_, '_>,
) -> Result<String, RequestError> {
    let unchanged = || Ok(value.json().to_owned());
    let Some(closed) = value.get("schema").and_then(|schema| closed(schema.json())) else {
        return unchanged();
    };
    let Ok(Value::Object(mut format)) = serde_json::from_str(value.json()) else {
        return unchanged();
    };
    request.warnings.changed("output_format.schema", CLOSED)?;
    format.insert("schema".to_owned(), closed);
    Ok(Value::Object(format).to_string())
}

/// A schema that is closed, if it was not.
pub(super) fn closed(schema: &str) -> Option<Value> {
    let given: Value = serde_json::from_str(schema).ok()?;
    let mut closed = given.clone();
    schema::close(&mut closed);
    (closed != given).then_some(closed)
}

/// Closes a strict schema, if it is not closed.
fn close(value: &Slice<'_>, path: &str, request: &mut Request<'_, '_>) -> Result<(), RequestError> {
    if let Some(closed) = closed(value.json()) {
        request.warnings.changed(path, CLOSED)?;
        request.edits.replace(value, closed.to_string());
    }
    Ok(())
}
