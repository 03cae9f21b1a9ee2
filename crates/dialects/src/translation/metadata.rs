//! Pairs for Bedrock's invocation log.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{context::Context, error::RequestError, json::Json};

/// Most pairs of metadata.
const MAX_PAIRS: usize = 16;
/// Longest key and longest value in characters.
const MAX_LENGTH: usize = 256;

/// Pairs (key, value, field they came from) as Bedrock takes them. Never refused: what does not fit is
/// made to fit, or dropped.
pub(crate) fn pairs(
    pairs: Vec<(Cow<'_, str>, Json<'_>, &str)>,
    context: &mut Context<'_>,
) -> Result<Map<String, Value>, RequestError> {
    let mut map = Map::new();
    for (key, value, param) in pairs {
        let text = match value {
            Json::String(text) => text,
            other => Cow::Owned(serde_json::to_string(&other).unwrap_or_default()),
        };
        let (clean_key, clean_value) = (fit(&key), fit(&text));
        if clean_key.is_empty() || (map.len() >= MAX_PAIRS && !map.contains_key(&clean_key)) {
            let why = format!("Bedrock takes {MAX_PAIRS} pairs with names");
            context.warnings.dropped(param, &why)?;
            continue;
        }
        if clean_key != key || clean_value != text {
            context
                .warnings
                .changed(param, "made to fit Bedrock's alphabet and length")?;
        }
        map.insert(clean_key, Value::String(clean_value));
    }
    Ok(map)
}

fn fit(text: &str) -> String {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(c);
    text.chars()
        .take(MAX_LENGTH)
        .map(|c| if allowed(c) { c } else { '_' })
        .collect()
}
