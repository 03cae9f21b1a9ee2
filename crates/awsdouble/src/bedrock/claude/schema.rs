//! Claude's rules for the schemas of tools and of structured outputs.

use serde_json::Value;

use super::super::catalog::Rules;
use super::super::json::list;
use super::Claim;

/// Limits that exact schemas reject, by type. Limits of strings are accepted.
const LIMITS: [(&str, &[&str]); 3] = [
    (
        "integer",
        &[
            "exclusiveMaximum",
            "exclusiveMinimum",
            "maximum",
            "minimum",
            "multipleOf",
        ],
    ),
    (
        "number",
        &[
            "exclusiveMaximum",
            "exclusiveMinimum",
            "maximum",
            "minimum",
            "multipleOf",
        ],
    ),
    ("array", &["maxItems"]),
];

/// Validates the root of a tool's input schema; `path` is that of the schema.
pub(in crate::bedrock) fn tool(schema: &Value, path: &str, rules: &Rules) -> Claim {
    if !rules.anthropic {
        return Ok(());
    }
    // Rule tool-schema-root.
    let combined = ["oneOf", "allOf", "anyOf"];
    if combined.iter().any(|name| schema.get(name).is_some()) {
        return Err(format!(
            "{path}: input_schema does not support oneOf, allOf, or anyOf at the top level"
        ));
    }
    // Rule tool-property-names.
    let legal = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    let names = schema.get("properties").and_then(Value::as_object);
    let names_are_legal = names
        .into_iter()
        .flatten()
        .all(|(name, _)| (1..=64).contains(&name.chars().count()) && name.chars().all(legal));
    if !names_are_legal {
        return Err(format!(
            "{path}.properties: Property keys should match pattern '^[a-zA-Z0-9_.-]{{1,64}}$'"
        ));
    }
    Ok(())
}

/// Validates an exact schema, that of a structured output or of a strict tool: closed objects, no limits.
pub(in crate::bedrock) fn exact(schema: &Value, path: &str, rules: &Rules) -> Claim {
    let types = types(schema);
    if types.contains(&"object") && schema.get("additionalProperties") != Some(&Value::Bool(false))
    {
        return Err(format!(
            "{path}: For 'object' type, 'additionalProperties' must be explicitly set to false"
        ));
    }
    // Rule schema-limits.
    if rules.anthropic {
        limits(schema, &types, path)?;
    }
    for name in ["properties", "$defs", "definitions"] {
        let members = schema.get(name).and_then(Value::as_object);
        for (_, one) in members.into_iter().flatten() {
            exact(one, path, rules)?;
        }
    }
    if let Some(items) = schema.get("items") {
        exact(items, path, rules)?;
    }
    for name in ["anyOf", "oneOf", "allOf"] {
        for one in list(schema, name) {
            exact(one, path, rules)?;
        }
    }
    Ok(())
}

/// The types of a schema, whether it names one or several.
fn types(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn limits(schema: &Value, types: &[&str], path: &str) -> Claim {
    for (kind, names) in LIMITS {
        if !types.contains(&kind) {
            continue;
        }
        let found: Vec<&str> = names
            .iter()
            .filter(|name| schema.get(**name).is_some())
            .copied()
            .collect();
        match found.as_slice() {
            [] => {}
            [one] => {
                return Err(format!(
                    "{path}: For '{kind}' type, property '{one}' is not supported"
                ));
            }
            several => {
                return Err(format!(
                    "{path}: For '{kind}' type, properties {} are not supported",
                    several.join(", ")
                ));
            }
        }
    }
    let minimum = schema.get("minItems").and_then(Value::as_u64);
    if types.contains(&"array") && minimum.is_some_and(|minimum| minimum > 1) {
        return Err(format!(
            "{path}: For 'array' type, 'minItems' values other than 0 or 1 are not supported"
        ));
    }
    Ok(())
}
