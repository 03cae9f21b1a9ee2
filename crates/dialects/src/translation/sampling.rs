//! Sampling: temperature, top-p, top-k, stop sequences and the token limit.

use std::borrow::Cow;

use bedrock::converse::InferenceConfig;
use serde_json::{Map, Value, json};

use super::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Json},
    reasoning::{Reasoning, fitting_budget, limit_with_budget},
};
use crate::families::{ModelCapabilities, TopK};

/// Sampling fields of a client's request.
#[derive(Debug)]
pub(crate) struct SamplingFields<'a> {
    pub(crate) temperature: Option<Json<'a>>,
    pub(crate) top_p: Option<Json<'a>>,
    pub(crate) top_k: Option<Json<'a>>,
    pub(crate) stop: Option<Json<'a>>,
    /// The token limit and the name of its field.
    pub(crate) limit: Option<(Json<'a>, &'static str)>,
    pub(crate) rules: Rules,
}

/// Rules that differ by dialect.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// The dialect's field of the stop sequences.
    pub(crate) stop: &'static str,
    /// Maximum in the dialect; Bedrock's maximum is 1.
    pub(crate) max_temperature: f64,
    /// Whether the token limit excludes the thinking budget, which is then added to it.
    pub(crate) budget_on_top: bool,
}

/// Translates sampling fields; top-k goes into `additional`.
pub(crate) fn decode<'a>(
    given: SamplingFields<'a>,
    reasoning: &Reasoning,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<InferenceConfig<'a>, RequestError> {
    let title = context.capabilities.title.clone();
    let capabilities = context.capabilities.sampling.clone();
    let blocked = reasoning.drops_limits
        || (reasoning.active && context.capabilities.reasoning.drops_sampling);
    let mut temperature = ranged(
        given.temperature,
        "temperature",
        given.rules.max_temperature,
    )?;
    let mut top_p = ranged(given.top_p, "top_p", 1.0)?;
    let top_k = given
        .top_k
        .map(|value| value.whole(&FieldPath::Root.key("top_k")))
        .transpose()?;
    for (name, value, taken) in [
        ("temperature", &mut temperature, capabilities.temperature),
        ("top_p", &mut top_p, capabilities.top_p),
    ] {
        if value.is_some() && (!taken || blocked) {
            context
                .warnings
                .dropped(name, &unsupported(&title, taken))?;
            *value = None;
        }
    }
    if temperature.is_some_and(|value| value > 1.0) {
        temperature = Some(1.0);
        context
            .warnings
            .changed("temperature", "lowered to 1, Bedrock's maximum")?;
    }
    if temperature.is_some() && top_p.is_some() && !capabilities.both {
        let why = format!("{title} does not support both temperature and top_p");
        context.warnings.dropped("top_p", &why)?;
        top_p = None;
    }
    if let Some(top_k) = top_k {
        match capabilities.top_k {
            TopK::Field if !blocked => {
                additional.insert("top_k".to_owned(), top_k.into());
            }
            TopK::InferenceConfig if !blocked => {
                additional.insert("inferenceConfig".to_owned(), json!({"topK": top_k}));
            }
            place => {
                let taken = place != TopK::None;
                context
                    .warnings
                    .dropped("top_k", &unsupported(&title, taken))?;
            }
        }
    }
    Ok(InferenceConfig {
        max_tokens: max_tokens(given.limit, given.rules, reasoning, additional, context)?,
        temperature,
        top_p,
        stop_sequences: stop(given.stop, given.rules.stop, context)?,
    })
}

fn unsupported(title: &str, without_reasoning: bool) -> String {
    if without_reasoning {
        format!("not supported by {title} while reasoning")
    } else {
        format!("not supported by {title}")
    }
}

fn ranged(value: Option<Json<'_>>, name: &str, most: f64) -> Result<Option<f64>, RequestError> {
    let at = FieldPath::Root;
    let at = at.key(name);
    let Some(value) = value.map(|value| value.float(&at)).transpose()? else {
        return Ok(None);
    };
    if (0.0..=most).contains(&value) {
        Ok(Some(value))
    } else {
        Err(RequestError::invalid(
            name,
            format!("must be between 0 and {most}, not {value}"),
        ))
    }
}

fn max_tokens(
    given: Option<(Json<'_>, &'static str)>,
    rules: Rules,
    reasoning: &Reasoning,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<Option<u64>, RequestError> {
    let root = FieldPath::Root;
    let (limit, name) = match given {
        Some((value, name)) => (Some(value.whole(&root.key(name))?), name),
        None => (None, ""),
    };
    if limit == Some(0) {
        return Err(RequestError::invalid(name, "must be at least 1"));
    }
    if reasoning.drops_limits {
        if limit.is_some() {
            let why = format!(
                "{} does not support a token limit at this effort",
                context.capabilities.title
            );
            context.warnings.dropped(name, &why)?;
        }
        return Ok(None);
    }
    let budget = reasoning.budget.filter(|_| rules.budget_on_top);
    let with_budget = limit_with_budget(limit, budget);
    let most = context.capabilities.limits.output_tokens;
    if let (Some(most), Some(wanted)) = (most, with_budget)
        && wanted > most
    {
        return lowered(most, limit.map(|limit| (limit, name)), additional, context).map(Some);
    }
    if limit.is_some() && with_budget != limit {
        let budget = reasoning.budget.unwrap_or_default();
        let how = format!("raised by the thinking budget of {budget} tokens");
        context.warnings.changed(name, &how)?;
    }
    Ok(with_budget)
}

/// The family's maximum as the token limit, with a thinking budget below it.
fn lowered(
    most: u64,
    given: Option<(u64, &str)>,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<u64, RequestError> {
    let title = &context.capabilities.title;
    if let Some((limit, name)) = given {
        let how = if limit > most {
            format!("lowered to {most}, the maximum of {title}")
        } else {
            format!("{most} together with the thinking budget, the maximum of {title}")
        };
        context.warnings.changed(name, &how)?;
    }
    if let Some(Value::Object(thinking)) = additional.get_mut("thinking")
        && let Some(budget) = thinking.get_mut("budget_tokens")
        && let Some(fitting) = fitting_budget(budget.as_u64().unwrap_or_default(), most)
    {
        *budget = fitting.into();
        let how = format!("the thinking budget was lowered to {fitting} tokens");
        context.warnings.changed(context.field_names.effort, &how)?;
    }
    Ok(most)
}

fn stop<'a>(
    stop: Option<Json<'a>>,
    name: &'static str,
    context: &mut Context<'_>,
) -> Result<Vec<Cow<'a, str>>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key(name);
    let mut stops = match stop {
        None => return Ok(Vec::new()),
        Some(Json::Array(items)) => items
            .into_iter()
            .enumerate()
            .map(|(index, item)| item.string(&at.index(index)))
            .collect::<Result<Vec<_>, _>>()?,
        Some(one) => vec![one.string(&at)?],
    };
    stops.retain(|stop| !stop.is_empty());
    let capabilities = &context.capabilities.sampling;
    if !capabilities.stop_whitespace && stops.iter().any(|stop| stop.trim().is_empty()) {
        stops.retain(|stop| !stop.trim().is_empty());
        let why = format!(
            "{} does not support stop sequences of whitespace only",
            context.capabilities.title
        );
        context.warnings.dropped(name, &why)?;
    }
    let most = context.capabilities.sampling.stop_max;
    if most == 0 && !stops.is_empty() {
        let why = format!(
            "{} does not support stop sequences",
            context.capabilities.title
        );
        context.warnings.dropped(name, &why)?;
        stops.clear();
    }
    if stops.len() > most {
        return Err(RequestError::invalid(
            name,
            format!(
                "{} supports at most {most} stop sequences",
                context.capabilities.title
            ),
        ));
    }
    Ok(stops)
}

/// The response field that reports the matched stop sequence, for models that have it.
pub(crate) fn stop_sequence_paths(
    inference: &InferenceConfig<'_>,
    capabilities: &ModelCapabilities,
) -> Vec<Cow<'static, str>> {
    if capabilities.stop_sequence_path && !inference.stop_sequences.is_empty() {
        vec![Cow::Borrowed("/delta/stop_sequence")]
    } else {
        Vec::new()
    }
}
