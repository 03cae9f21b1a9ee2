//! Sampling: temperature, top-p, top-k, stop sequences and the limit of tokens.

use std::borrow::Cow;

use bedrock::converse::InferenceConfig;
use serde_json::{Map, Value, json};

use super::{
    super::{
        error::RequestError,
        json::{At, Json, Object},
    },
    reasoning::{Reasoning, limit_with_budget},
    request::Context,
};
use crate::families::TopK;

/// Fields of a request that this file reads.
#[derive(Debug, Default)]
pub(super) struct Given<'a> {
    temperature: Option<Json<'a>>,
    top_p: Option<Json<'a>>,
    top_k: Option<Json<'a>>,
    stop: Option<Json<'a>>,
    max_tokens: Option<Json<'a>>,
    max_completion_tokens: Option<Json<'a>>,
}

impl<'a> Given<'a> {
    pub(super) fn take(body: &mut Object<'a>) -> Self {
        Self {
            temperature: body.take("temperature"),
            top_p: body.take("top_p"),
            top_k: body.take("top_k"),
            stop: body.take("stop"),
            max_tokens: body.take("max_tokens"),
            max_completion_tokens: body.take("max_completion_tokens"),
        }
    }
}

/// Translates them; top-k goes into `additional`.
pub(super) fn decode<'a>(
    given: Given<'a>,
    reasoning: &Reasoning,
    additional: &mut Map<String, Value>,
    context: &mut Context<'_>,
) -> Result<InferenceConfig<'a>, RequestError> {
    let title = context.facts.title.clone();
    let facts = context.facts.sampling.clone();
    let blocked =
        reasoning.drops_limits || (reasoning.active && context.facts.reasoning.drops_sampling);
    let mut temperature = ranged(given.temperature, "temperature", 2.0)?;
    let mut top_p = ranged(given.top_p, "top_p", 1.0)?;
    let top_k = given
        .top_k
        .map(|value| value.whole(&At::Root.key("top_k")))
        .transpose()?;
    for (name, value, taken) in [
        ("temperature", &mut temperature, facts.temperature),
        ("top_p", &mut top_p, facts.top_p),
    ] {
        if value.is_some() && (!taken || blocked) {
            context.notes.dropped(name, &not_taken(&title, taken))?;
            *value = None;
        }
    }
    if temperature.is_some_and(|value| value > 1.0) {
        temperature = Some(1.0);
        context
            .notes
            .changed("temperature", "lowered to 1, the most Bedrock takes")?;
    }
    if temperature.is_some() && top_p.is_some() && !facts.both {
        let why = format!("{title} takes temperature or top_p, not both");
        context.notes.dropped("top_p", &why)?;
        top_p = None;
    }
    if let Some(top_k) = top_k {
        match facts.top_k {
            TopK::Field if !blocked => {
                additional.insert("top_k".to_owned(), top_k.into());
            }
            TopK::InferenceConfig if !blocked => {
                additional.insert("inferenceConfig".to_owned(), json!({"topK": top_k}));
            }
            place => {
                let taken = place != TopK::None;
                context.notes.dropped("top_k", &not_taken(&title, taken))?;
            }
        }
    }
    Ok(InferenceConfig {
        max_tokens: max_tokens(
            given.max_completion_tokens,
            given.max_tokens,
            reasoning,
            context,
        )?,
        temperature,
        top_p,
        stop_sequences: stop(given.stop, context)?,
    })
}

fn not_taken(title: &str, but_for_reasoning: bool) -> String {
    if but_for_reasoning {
        format!("{title} does not take it while reasoning")
    } else {
        format!("{title} does not take it")
    }
}

fn ranged(value: Option<Json<'_>>, name: &str, most: f64) -> Result<Option<f64>, RequestError> {
    let at = At::Root;
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
    newer: Option<Json<'_>>,
    older: Option<Json<'_>>,
    reasoning: &Reasoning,
    context: &mut Context<'_>,
) -> Result<Option<u64>, RequestError> {
    let root = At::Root;
    let (value, name) = match (newer, older) {
        (Some(value), _) => (Some(value), "max_completion_tokens"),
        (None, value) => (value, "max_tokens"),
    };
    let limit = value
        .map(|value| value.whole(&root.key(name)))
        .transpose()?;
    if limit == Some(0) {
        return Err(RequestError::invalid(name, "must be at least 1"));
    }
    if reasoning.drops_limits {
        if limit.is_some() {
            let why = format!("{} takes no limit at this effort", context.facts.title);
            context.notes.dropped(name, &why)?;
        }
        return Ok(None);
    }
    let with_budget = limit_with_budget(limit, reasoning.budget);
    if limit.is_some() && with_budget != limit {
        let budget = reasoning.budget.unwrap_or_default();
        let how = format!("raised by the {budget} tokens of the thinking budget");
        context.notes.changed(name, &how)?;
    }
    Ok(with_budget)
}

fn stop<'a>(
    stop: Option<Json<'a>>,
    context: &mut Context<'_>,
) -> Result<Vec<Cow<'a, str>>, RequestError> {
    let root = At::Root;
    let at = root.key("stop");
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
    let facts = &context.facts.sampling;
    if !facts.stop_whitespace && stops.iter().any(|stop| stop.trim().is_empty()) {
        stops.retain(|stop| !stop.trim().is_empty());
        let why = format!(
            "{} takes no stop sequence of whitespace only",
            context.facts.title
        );
        context.notes.dropped("stop", &why)?;
    }
    let most = context.facts.sampling.stop_max;
    if stops.len() > most {
        return Err(RequestError::invalid(
            "stop",
            format!(
                "{} takes {most} stop sequences at most",
                context.facts.title
            ),
        ));
    }
    Ok(stops)
}
