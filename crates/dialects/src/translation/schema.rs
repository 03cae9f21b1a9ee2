//! JSON Schemas for Bedrock: corrects the root of a tool's schema without changing the rest, adapts it to the family
//! (`root`), and closes schemas for strict tools and structured output (`strict`).

mod root;
mod strict;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
    ser::SerializeMap,
};
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    error::RequestError,
    json::{FieldPath, Json},
};

pub(crate) use root::{tool_input, unions_moved, with_names, without_unions};
pub(crate) use strict::{CLOSED, close};

/// The schema of a tool without parameters.
const NO_PARAMETERS: &str = r#"{"type":"object","properties":{}}"#;

/// An object whose members stay raw text, in order.
#[derive(Default)]
pub(crate) struct RawObject<'a>(pub(crate) Vec<(String, Cow<'a, RawValue>)>);

impl<'de> Deserialize<'de> for RawObject<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = RawObject<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON Schema object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut members: Vec<(String, Cow<'de, RawValue>)> = Vec::new();
                let mut places: BTreeMap<String, usize> = BTreeMap::new();
                while let Some(key) = access.next_key::<String>()? {
                    let value = Cow::Borrowed(access.next_value::<&'de RawValue>()?);
                    let place = places.get(&key).and_then(|place| members.get_mut(*place));
                    if let Some(member) = place {
                        member.1 = value;
                    } else {
                        places.insert(key.clone(), members.len());
                        members.push((key, value));
                    }
                }
                Ok(RawObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

impl Serialize for RawObject<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in &self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

/// The schema of a tool's arguments: removes `$schema` and ensures `"type": "object"` at the root; everything else is
/// unchanged byte for byte.
///
/// # Errors
/// When the schema is not an object, or does not describe an object.
pub(crate) fn tool_schema<'a>(
    schema: Option<Json<'a>>,
    at: &FieldPath<'_>,
) -> Result<Cow<'a, RawValue>, RequestError> {
    let rejected = |message: String| RequestError::invalid(at.to_string(), message);
    let text: Cow<'a, str> = match schema {
        None => Cow::Borrowed(NO_PARAMETERS),
        Some(Json::Raw(raw)) => Cow::Borrowed(raw.get()),
        Some(other) => {
            Cow::Owned(serde_json::to_string(&other).map_err(|error| rejected(error.to_string()))?)
        }
    };
    let mut object: RawObject<'_> = serde_json::from_str(&text)
        .map_err(|error| rejected(format!("expected a JSON Schema of an object: {error}")))?;
    let before = object.0.len();
    object.0.retain(|(key, _)| key != "$schema");
    let mut changed = object.0.len() != before;
    match object.0.iter().find(|(key, _)| key == "type") {
        Some((_, kind)) if kind.get() == "\"object\"" => {}
        Some((_, kind)) if !kind.get().contains("\"object\"") && kind.get() != "null" => {
            return Err(rejected(format!(
                "the root of a tool schema must have \"type\": \"object\", not {}",
                kind.get()
            )));
        }
        _ => {
            object.0.retain(|(key, _)| key != "type");
            object.0.insert(0, ("type".to_owned(), raw("\"object\"")?));
            changed = true;
        }
    }
    if changed {
        let text = serde_json::to_string(&object).map_err(|error| rejected(error.to_string()))?;
        return owned(text);
    }
    drop(object);
    match text {
        Cow::Borrowed(text) => serde_json::from_str::<&RawValue>(text)
            .map(Cow::Borrowed)
            .map_err(|error| rejected(error.to_string())),
        Cow::Owned(text) => owned(text),
    }
}

/// A schema as an owned tree.
pub(crate) fn tree(schema: Json<'_>, at: &FieldPath<'_>) -> Result<Value, RequestError> {
    let value = match schema {
        Json::Raw(raw) => serde_json::from_str(raw.get())
            .map_err(|error| RequestError::invalid(at.to_string(), error.to_string()))?,
        other => other.into_value(at)?,
    };
    if value.is_object() {
        Ok(value)
    } else {
        Err(RequestError::invalid(
            at.to_string(),
            "expected a JSON Schema object",
        ))
    }
}

/// The closed schema of a strict tool as an owned tree, and whether closing changed what it accepts.
///
/// # Errors
/// When the schema is not an object.
pub(crate) fn strict_tool(
    schema: Option<Json<'_>>,
    at: &FieldPath<'_>,
) -> Result<(Value, bool), RequestError> {
    let mut tree = match schema {
        Some(schema) => tree(schema, at)?,
        None => json!({"type": "object", "properties": {}}),
    };
    // Only a schema with the type of an object is closed.
    if let Value::Object(root) = &mut tree
        && root.get("type").is_none_or(Value::is_null)
    {
        root.shift_remove("type");
        root.shift_insert(0, "type".to_owned(), "object".into());
    }
    let changed = close(&mut tree);
    Ok((tree, changed))
}

/// Adds notes to the description of a schema.
fn describe(schema: &mut Map<String, Value>, notes: &[String]) {
    if notes.is_empty() {
        return;
    }
    let note = notes.join(", ");
    let text = match schema.get("description").and_then(Value::as_str) {
        Some(description) if !description.is_empty() => format!("{description} ({note})"),
        _ => note,
    };
    schema.insert("description".to_owned(), Value::String(text));
}

/// Raw JSON from text.
pub(crate) fn owned(text: String) -> Result<Cow<'static, RawValue>, RequestError> {
    RawValue::from_string(text)
        .map(Cow::Owned)
        .map_err(|error| RequestError::not_json(&error))
}

fn raw(text: &'static str) -> Result<Cow<'static, RawValue>, RequestError> {
    serde_json::from_str::<&RawValue>(text)
        .map(Cow::Borrowed)
        .map_err(|error| RequestError::not_json(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(text: &str) -> Result<String, RequestError> {
        let body = format!("{{\"parameters\":{text}}}");
        let json: Json<'_> =
            serde_json::from_str(&body).map_err(|error| RequestError::not_json(&error))?;
        let mut object = json.object(&FieldPath::Root)?;
        tool_schema(object.take("parameters"), &FieldPath::Root).map(|raw| raw.get().to_owned())
    }

    #[test]
    fn valid_schema_is_unchanged_byte_for_byte() {
        let text = r#"{ "type":"object", "properties" : {"z":{"minimum":1.00},"a":{}} }"#;
        assert_eq!(through(text).unwrap(), text);
    }

    #[test]
    fn root_is_corrected_and_the_rest_unchanged() {
        assert_eq!(through("{}").unwrap(), r#"{"type":"object"}"#);
        assert_eq!(through("null").unwrap(), NO_PARAMETERS);
        assert_eq!(
            through(r#"{"$schema":"x","properties":{ "b":1e2 }}"#).unwrap(),
            r#"{"type":"object","properties":{ "b":1e2 }}"#
        );
        assert_eq!(
            through(r#"{"type":["object","null"]}"#).unwrap(),
            r#"{"type":"object"}"#
        );
    }

    #[test]
    fn rejects_a_root_that_is_not_an_object() {
        assert!(through(r#"{"type":"string"}"#).is_err());
        assert!(through("[]").is_err());
        assert!(through("true").is_err());
    }
}
