//! Key-value pairs for Bedrock's invocation log.

use std::borrow::Cow;

use serde_json::{Map, Value};

use super::{context::Context, error::RequestError, json::Json};

/// Maximum number of pairs.
const MAX_PAIRS: usize = 16;
/// Maximum length of a key and of a value, in characters.
const MAX_LENGTH: usize = 256;

/// Converts pairs (key, value, field) to what Bedrock accepts. Invalid pairs are adapted or dropped, never rejected.
pub(crate) fn pairs(
    pairs: Vec<(Cow<'_, str>, Json<'_>, &str)>,
    context: &mut Context<'_>,
) -> Result<Map<String, Value>, RequestError> {
    let mut map = Map::new();
    for (key, value, param) in pairs {
        let text = match value {
            Json::String(text) => text.decode(),
            other => Cow::Owned(serde_json::to_string(&other).unwrap_or_default()),
        };
        let (clean_key, clean_value) = (fit(&key), fit(&text));
        if clean_key.is_empty() || (map.len() >= MAX_PAIRS && !map.contains_key(&clean_key)) {
            let why = format!("Bedrock accepts {MAX_PAIRS} pairs with non-empty keys");
            context.warnings.dropped(param, &why)?;
            continue;
        }
        if clean_key != key || clean_value != text {
            context
                .warnings
                .changed(param, "adapted to Bedrock's character set and length limit")?;
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
