//! Rules that Claude applies to a request, whether it comes by Converse, InvokeModel or the Anthropic endpoint.
//!
//! The messages are the model's; Converse adds its prefix to them. `rules.rs` has the sources.

pub(super) mod schema;

use serde_json::Value;

use super::catalog::Rules;
use super::json::text;

/// The model's error message.
pub(super) type Claim = Result<(), String>;

/// Beta flags that Bedrock documents for Claude.
const FLAGS: [&str; 10] = [
    "computer-use-2024-10-22",
    "computer-use-2025-01-24",
    "computer-use-2025-11-24",
    "token-efficient-tools-2025-02-19",
    "interleaved-thinking-2025-05-14",
    "output-128k-2025-02-19",
    "dev-full-thinking-2025-05-14",
    "context-1m-2025-08-07",
    "context-management-2025-06-27",
    "effort-2025-11-24",
];

/// Beta flags of the advanced tool use.
const TOOL_FLAGS: [&str; 2] = ["tool-search-tool-2025-10-19", "tool-examples-2025-10-29"];

/// Validates beta flags.
pub(super) fn beta_flags(value: &Value, rules: &Rules) -> Claim {
    let flags = value.as_array().map_or(&[][..], Vec::as_slice);
    // Rule tool-search.
    let known = |flag: &str| {
        FLAGS.contains(&flag)
            || (rules.tool_search && TOOL_FLAGS.contains(&flag))
            || rules.beta_flags.iter().any(|one| one == flag)
    };
    if flags.iter().all(|flag| flag.as_str().is_some_and(known)) {
        Ok(())
    } else {
        Err("invalid beta flag".to_owned())
    }
}

/// Rejects the beta flags that Converse does not support; rule converse-beta-flags.
pub(super) fn converse_flags(value: &Value) -> Claim {
    let flags = value.as_array().into_iter().flatten();
    let found = flags
        .filter_map(Value::as_str)
        .find(|flag| TOOL_FLAGS.contains(flag));
    match found {
        Some(flag) => Err(format!(
            "The beta feature {flag} is not currently supported on the Converse and ConverseStream APIs."
        )),
        None => Ok(()),
    }
}

/// Validates `output_config`, whose effort some models support with a beta flag only; rule effort.
pub(super) fn effort(config: Option<&Value>, flags: Option<&Value>, rules: &Rules) -> Claim {
    let Some(effort) = config.and_then(|config| config.get("effort")) else {
        return Ok(());
    };
    if rules.effort.is_empty() {
        return Err("This model does not support the effort parameter.".to_owned());
    }
    if let Some(prefix) = &rules.effort_flag {
        let flags = flags.and_then(Value::as_array).into_iter().flatten();
        let mut flags = flags.filter_map(Value::as_str);
        if !flags.any(|flag| flag.starts_with(prefix.as_str())) {
            return Err("output_config.effort: Extra inputs are not permitted".to_owned());
        }
    }
    if effort
        .as_str()
        .is_some_and(|effort| rules.effort.iter().any(|one| one == effort))
    {
        return Ok(());
    }
    let quoted: Vec<String> = rules.effort.iter().map(|one| format!("'{one}'")).collect();
    let values = match quoted.split_last() {
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    };
    Err(format!("output_config.effort: Input should be {values}"))
}

/// Validates the type of `thinking` by model; rule adaptive-thinking, rule thinking-claude-3.
pub(super) fn thinking_type(kind: &str, rules: &Rules) -> Claim {
    if !rules.anthropic || rules.thinking.iter().any(|one| one == kind) {
        return Ok(());
    }
    if rules.thinking.is_empty() {
        return Err("thinking: Extra inputs are not permitted".to_owned());
    }
    match kind {
        "adaptive" => Err("adaptive thinking is not supported on this model".to_owned()),
        "enabled" => Err("\"thinking.type.enabled\" is not supported for this model. Use \"thinking.type.adaptive\" and \"output_config.effort\" to control thinking behavior.".to_owned()),
        _ => Ok(()),
    }
}

/// Rejects a sampling parameter where the model has none (rule sampling); a temperature of 1 is accepted with thinking.
pub(super) fn sampling(name: &str, value: Option<&Value>, thinks: bool, rules: &Rules) -> Claim {
    let Some(value) = value.filter(|_| !rules.sampling) else {
        return Ok(());
    };
    if name == "temperature" && thinks && value.as_f64() == Some(1.0) {
        return Ok(());
    }
    Err(format!("`{name}` is deprecated for this model."))
}

/// Checks the order of the lifetimes of cache points, which are given with the paths of their blocks; rule cache-ttl-order.
pub(super) fn lifetimes<'a>(points: impl IntoIterator<Item = (String, Option<&'a str>)>) -> Claim {
    let mut short = false;
    for (path, ttl) in points {
        if ttl != Some("1h") {
            short = true;
        } else if short {
            return Err(format!(
                "{path}.cache_control.ttl: a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block. Note that blocks are processed in the following order: `tools`, `system`, `messages`."
            ));
        }
    }
    Ok(())
}

/// Compares the declared media type of an image with its bytes; rule image-label.
pub(super) fn image_label(declared: &str, encoded: &str, path: &str) -> Claim {
    const SIGNATURES: [(&str, &str); 4] = [
        ("iVBORw0KGgo", "image/png"),
        ("/9j/", "image/jpeg"),
        ("R0lGOD", "image/gif"),
        ("UklGR", "image/webp"),
    ];
    let found = SIGNATURES
        .iter()
        .find(|(start, _)| encoded.starts_with(start));
    match found {
        Some((_, kind)) if *kind != declared => Err(format!(
            "{path}: The image was specified using the {declared} media type, but the image appears to be a {kind} image"
        )),
        _ => Ok(()),
    }
}

/// Whether a request thinks.
pub(super) fn thinks(thinking: Option<&Value>) -> bool {
    thinking
        .and_then(|thinking| text(thinking, "type"))
        .is_some_and(|kind| kind != "disabled")
}

#[cfg(test)]
mod tests;
