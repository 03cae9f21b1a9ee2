//! Closes schemas for strict tools and structured output: no further properties, and no keywords that Bedrock rejects.
//! <https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>

use serde_json::{Map, Value};

/// Keywords that Bedrock rejects in strict schemas of any type; they become part of the description. Sources:
/// <https://github.com/BerriAI/litellm/issues/29168>, <https://github.com/vercel/ai/issues/17197>.
const REFUSED: [&str; 20] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "contentEncoding",
    "contentMediaType",
    "maxItems",
    "uniqueItems",
    "contains",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "dependentRequired",
];
/// Values of `format` that Bedrock accepts; others become part of the description.
const FORMATS: [&str; 10] = [
    "date-time",
    "time",
    "date",
    "duration",
    "email",
    "hostname",
    "uri",
    "ipv4",
    "ipv6",
    "uuid",
];

/// Closes a schema for strict output: sets `additionalProperties: false` on every object, and removes `$schema` and the
/// keywords that Bedrock rejects. Returns whether the schema now accepts different values.
pub(crate) fn close(schema: &mut Value) -> bool {
    match schema {
        Value::Array(items) => items
            .iter_mut()
            .fold(false, |changed, item| close(item) | changed),
        Value::Object(object) => close_object(object),
        _ => false,
    }
}

/// The warning if closing changed the values that a schema accepts.
pub(crate) const CLOSED: &str = "additionalProperties was set to false, and limits of values were moved to \
                                 descriptions, as Bedrock requires for strict schemas";

/// Whether a schema describes an object, possibly among other types.
fn is_object(schema: &Map<String, Value>) -> bool {
    match schema.get("type") {
        None => schema.contains_key("properties"),
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "object"),
        Some(kind) => kind == "object",
    }
}

fn close_object(object: &mut Map<String, Value>) -> bool {
    object.shift_remove("$schema");
    let mut changed = false;
    if is_object(object) {
        let before = object.insert("additionalProperties".to_owned(), Value::Bool(false));
        changed |= before.is_some_and(|before| before != Value::Bool(false));
    }
    // Every value that matches one of the alternatives matches any of them.
    if let Some(alternatives) = object.shift_remove("oneOf") {
        let key = if object.contains_key("anyOf") {
            "oneOf"
        } else {
            "anyOf"
        };
        object.insert(key.to_owned(), alternatives);
    }
    let mut moved = Vec::new();
    for keyword in REFUSED {
        if let Some(value) = object.shift_remove(keyword) {
            moved.push(format!("{keyword}: {value}"));
        }
    }
    let least = object.get("minItems").and_then(Value::as_u64);
    if least.is_some_and(|least| least > 1)
        && let Some(value) = object.shift_remove("minItems")
    {
        moved.push(format!("minItems: {value}"));
    }
    let format = object.get("format").and_then(Value::as_str);
    if format.is_some_and(|format| !FORMATS.contains(&format))
        && let Some(value) = object.shift_remove("format")
    {
        moved.push(format!("format: {value}"));
    }
    changed |= !moved.is_empty();
    super::describe(object, &moved);
    for (key, value) in object.iter_mut() {
        match key.as_str() {
            // The members are named schemas.
            "properties" | "$defs" | "definitions" => {
                if let Value::Object(members) = value {
                    for member in members.values_mut() {
                        changed |= close(member);
                    }
                }
            }
            "items" | "prefixItems" | "anyOf" | "oneOf" | "allOf" | "not" | "if" | "then"
            | "else" => {
                changed |= close(value);
            }
            // Other members are data: enum, const, default, examples …
            _ => {}
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_changes_every_object_and_no_data() {
        let mut schema = serde_json::json!({
            "$schema": "x",
            "type": "object",
            "properties": {
                "a": {"type": "array", "items": {"type": "object", "properties": {}}, "maxItems": 3},
                "b": {"anyOf": [{"type": "object"}, {"type": "integer", "minimum": 1, "description": "B"}]},
                "type": {"const": {"type": "object"}}
            }
        });
        assert!(close(&mut schema));
        assert!(!close(&mut schema), "closing twice");
        assert_eq!(
            schema,
            serde_json::json!({
                "type": "object",
                "properties": {
                    "a": {"type": "array", "items": {"type": "object", "properties": {}, "additionalProperties": false}, "description": "maxItems: 3"},
                    "b": {"anyOf": [{"type": "object", "additionalProperties": false}, {"type": "integer", "description": "B (minimum: 1)"}]},
                    "type": {"const": {"type": "object"}}
                },
                "additionalProperties": false
            })
        );
    }

    #[test]
    fn limits_are_moved_for_every_type_and_place() {
        let mut schema = serde_json::json!({
            "type": "object",
            "properties": {
                "score": {"type": ["integer", "null"], "minimum": 1, "maximum": 5},
                "title": {"type": "string", "minLength": 1, "pattern": "^a", "description": "T"},
                "mail": {"type": "string", "format": "email"},
                "phone": {"type": "string", "format": "phone"},
                "size": {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]},
                "tags": {"type": ["array", "null"], "uniqueItems": true, "minItems": 1, "items": {"$ref": "#/$defs/tag"}},
                "minimum": {"type": "string"},
                "kind": {"oneOf": [{"const": "a"}, {"const": "b"}]},
                "map": {"type": ["object", "null"], "minProperties": 1}
            },
            "$defs": {"tag": {"type": "string", "maxLength": 9}}
        });
        assert!(close(&mut schema));
        assert_eq!(
            schema,
            serde_json::json!({
                "type": "object",
                "properties": {
                    "score": {"type": ["integer", "null"], "description": "minimum: 1, maximum: 5"},
                    "title": {"type": "string", "description": "T (minLength: 1, pattern: \"^a\")"},
                    "mail": {"type": "string", "format": "email"},
                    "phone": {"type": "string", "description": "format: \"phone\""},
                    "size": {"anyOf": [{"type": "number", "description": "exclusiveMinimum: 0"}, {"type": "null"}]},
                    "tags": {"type": ["array", "null"], "minItems": 1, "items": {"$ref": "#/$defs/tag"}, "description": "uniqueItems: true"},
                    "minimum": {"type": "string"},
                    "kind": {"anyOf": [{"const": "a"}, {"const": "b"}]},
                    "map": {"type": ["object", "null"], "additionalProperties": false, "description": "minProperties: 1"}
                },
                "$defs": {"tag": {"type": "string", "description": "maxLength: 9"}},
                "additionalProperties": false
            })
        );
    }
}
