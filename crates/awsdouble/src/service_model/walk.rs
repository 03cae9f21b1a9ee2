//! Walks a request along the shapes of the service model.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{ACCEPTED, Shape};
use crate::error::AwsError;

type Check = Result<(), AwsError>;

/// A position in the request, in the two notations of AWS's messages.
#[derive(Debug, Clone, Default)]
struct Place {
    /// `messages.1.member.content.2.member`: counted from one.
    constraint: String,
    /// `messages.0.content.1`: counted from zero.
    json: String,
}

impl Place {
    fn member(&self, name: &str) -> Self {
        let join = |path: &str| {
            if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            }
        };
        Self {
            constraint: join(&self.constraint),
            json: join(&self.json),
        }
    }

    fn item(&self, index: usize) -> Self {
        Self {
            constraint: format!("{}.{}.member", self.constraint, index + 1),
            json: format!("{}.{index}", self.json),
        }
    }

    fn pointer(&self) -> String {
        format!("#/{}", self.json.replace('.', "/"))
    }
}

/// The walk and the violated constraints that it found.
pub(super) struct Walk<'a> {
    shapes: &'a BTreeMap<String, Shape>,
    found: Vec<String>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(shapes: &'a BTreeMap<String, Shape>) -> Self {
        Self {
            shapes,
            found: Vec::new(),
        }
    }

    pub(super) fn found(&self) -> &[String] {
        &self.found
    }

    pub(super) fn into_found(self) -> Vec<String> {
        self.found
    }

    /// Checks JSON types and unknown members, like the parser of the service.
    pub(super) fn types(&self, root: &str, body: &Value) -> Check {
        self.each(
            root,
            body,
            &Place::default(),
            &mut |name, shape, value, place| {
                typed(shape, value, place)?;
                let members = value.as_object().into_iter().flatten();
                if shape.kind != "structure" || shape.document {
                    return Ok(());
                }
                let mut known = 0_usize;
                let mut unknown = None;
                for (key, _) in members {
                    match shape.member(key) {
                        Some(_) => known += 1,
                        None => unknown = unknown.or(Some(key)),
                    }
                }
                match unknown {
                    // A union with nothing but an unknown member: `unions` reports the possible members.
                    Some(_) if shape.union && known == 0 => Ok(()),
                    Some(key) => Err(unknown_member(name == root, place, key)),
                    None => Ok(()),
                }
            },
        )
    }

    /// Collects the constraints that the request violates.
    pub(super) fn constraints(&mut self, root: &str, body: &Value) {
        let mut found = Vec::new();
        let visited = self.each(
            root,
            body,
            &Place::default(),
            &mut |name, shape, value, place| {
                for member in &shape.required {
                    let in_body = shape.member(member).is_some_and(|(_, in_body)| in_body);
                    if in_body && value.get(member).is_none_or(Value::is_null) {
                        found.push(null(&place.member(member)));
                    }
                }
                if shape.kind == "map" {
                    self.map(shape, value, place, &mut found);
                } else if let Some(problem) = problem(name, shape, value) {
                    found.push(violation(shape, value, place, &problem));
                }
                Ok(())
            },
        );
        debug_assert!(visited.is_ok(), "collecting does not fail");
        self.found = found;
    }

    /// Checks that exactly one member of each union is set.
    pub(super) fn unions(&self, root: &str, body: &Value) -> Check {
        self.each(
            root,
            body,
            &Place::default(),
            &mut |name, shape, value, place| {
                if !shape.union {
                    return Ok(());
                }
                let set = value.as_object().into_iter().flatten();
                let set = set.filter(|(_, value)| !value.is_null()).count();
                let known = shape
                    .members
                    .keys()
                    .any(|key| value.get(key).is_some_and(|value| !value.is_null()));
                if set == 1 && known {
                    return Ok(());
                }
                let keys: Vec<&str> = shape.members.keys().map(String::as_str).collect();
                Err(AwsError::validation(format!(
                    "The {name} object at {} must set one of the following keys: {}.",
                    place.json,
                    keys.join(", ")
                )))
            },
        )
    }

    /// Visits a value and everything below it, with the name and the shape of each.
    fn each(
        &self,
        name: &str,
        value: &Value,
        place: &Place,
        visit: &mut impl FnMut(&str, &Shape, &Value, &Place) -> Check,
    ) -> Check {
        let Some(shape) = self.shapes.get(name) else {
            return Ok(());
        };
        visit(name, shape, value, place)?;
        match (shape.kind.as_str(), value) {
            ("structure", Value::Object(object)) if !shape.document => {
                for (key, value) in object {
                    if let Some((target, true)) = shape.member(key)
                        && !value.is_null()
                    {
                        self.each(target, value, &place.member(key), visit)?;
                    }
                }
            }
            ("list", Value::Array(items)) => {
                let Some(target) = &shape.member else {
                    return Ok(());
                };
                for (index, item) in items.iter().enumerate() {
                    self.each(target, item, &place.item(index), visit)?;
                }
            }
            ("map", Value::Object(object)) => {
                let Some(target) = &shape.value else {
                    return Ok(());
                };
                // Simple values are part of the map's own constraint.
                if self
                    .shapes
                    .get(target)
                    .is_some_and(|one| one.kind == "structure")
                {
                    for (key, value) in object {
                        self.each(target, value, &place.member(key), visit)?;
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn map(&self, shape: &Shape, map: &Value, place: &Place, found: &mut Vec<String>) {
        let Some(pairs) = map.as_object() else {
            return;
        };
        if let Some(problem) = length(shape, pairs.len()) {
            found.push(violation(shape, map, place, &problem));
        }
        let target = |name: &Option<String>| name.as_ref().and_then(|name| self.shapes.get(name));
        let (key_shape, value_shape) = (target(&shape.key), target(&shape.value));
        for (key, value) in pairs {
            for (part, shape_of, text) in [
                ("keys", key_shape, Some(key.as_str())),
                ("value", value_shape, value.as_str()),
            ] {
                let Some(one) = shape_of.filter(|one| one.kind == "string") else {
                    continue;
                };
                let bad = text.is_none_or(|text| problem("", one, &Value::from(text)).is_some());
                if bad {
                    found.push(violation(
                        shape,
                        map,
                        place,
                        &format!("Map {part} must satisfy constraint: [{}]", rules(one)),
                    ));
                    return;
                }
            }
        }
    }
}

fn unknown_member(top: bool, place: &Place, key: &str) -> AwsError {
    let place = if top {
        String::new()
    } else {
        format!("{}: ", place.pointer())
    };
    AwsError::validation(format!(
        "Malformed input request: {place}extraneous key [{key}] is not permitted, please reformat your input and try again."
    ))
}

fn null(place: &Place) -> String {
    format!(
        "Value null at '{}' failed to satisfy constraint: Member must not be null",
        place.constraint
    )
}

fn violation(shape: &Shape, value: &Value, place: &Place, problem: &str) -> String {
    if value.is_null() {
        return null(place);
    }
    let shown = match value {
        _ if shape.sensitive => String::new(),
        Value::String(text) => format!(" '{text}'"),
        other => format!(" '{other}'"),
    };
    format!(
        "Value{shown} at '{}' failed to satisfy constraint: {problem}",
        place.constraint
    )
}

/// The first rule of a shape that a value breaks.
fn problem(name: &str, shape: &Shape, value: &Value) -> Option<String> {
    match (shape.kind.as_str(), value) {
        ("string", Value::String(text)) => {
            let accepted = ACCEPTED
                .iter()
                .any(|(shape, value, _)| *shape == name && value == text);
            if !shape.values.is_empty() && !shape.values.contains(text) && !accepted {
                return Some(enumeration(shape));
            }
            length(shape, text.chars().count()).or_else(|| {
                let pattern = shape.pattern.as_ref()?;
                (!pattern.whole.is_match(text)).then(|| {
                    format!(
                        "Member must satisfy regular expression pattern: {}",
                        pattern.text
                    )
                })
            })
        }
        ("blob", Value::String(text)) => length(shape, decoded_length(text)),
        ("list", Value::Array(items)) => length(shape, items.len()),
        ("integer" | "long" | "float" | "double", Value::Number(number)) => {
            let number = number.as_f64()?;
            match (shape.min, shape.max) {
                (Some(min), _) if number < min => Some(format!(
                    "Member must have value greater than or equal to {min}"
                )),
                (_, Some(max)) if number > max => Some(format!(
                    "Member must have value less than or equal to {max}"
                )),
                _ => None,
            }
        }
        (_, Value::Null) => Some("Member must not be null".to_owned()),
        _ => None,
    }
}

fn length(shape: &Shape, length: usize) -> Option<String> {
    let length = u32::try_from(length).map_or(f64::INFINITY, f64::from);
    match (shape.min, shape.max) {
        (Some(min), _) if length < min => Some(format!(
            "Member must have length greater than or equal to {min}"
        )),
        (_, Some(max)) if length > max => Some(format!(
            "Member must have length less than or equal to {max}"
        )),
        _ => None,
    }
}

fn enumeration(shape: &Shape) -> String {
    format!(
        "Member must satisfy enum value set: [{}]",
        shape.values.join(", ")
    )
}

/// All rules of a text, as AWS lists them for the entries of a map.
fn rules(shape: &Shape) -> String {
    let max = shape
        .max
        .map(|max| format!("Member must have length less than or equal to {max}"));
    let min = shape
        .min
        .map(|min| format!("Member must have length greater than or equal to {min}"));
    let pattern = shape.pattern.as_ref().map(|pattern| {
        format!(
            "Member must satisfy regular expression pattern: {}",
            pattern.text
        )
    });
    let all: Vec<String> = [max, min, pattern].into_iter().flatten().collect();
    all.join(", ")
}

/// Checks the JSON type of a value.
fn typed(shape: &Shape, value: &Value, place: &Place) -> Check {
    if shape.document || value.is_null() {
        return Ok(());
    }
    let (fits, wanted) = match shape.kind.as_str() {
        "list" => (value.is_array(), "List"),
        "map" => (value.is_object(), "Map"),
        "string" => (value.is_string(), "String"),
        "blob" => (value.is_string(), "Blob"),
        "boolean" => (value.is_boolean(), "Boolean"),
        "integer" | "long" => (value.is_i64() || value.is_u64(), "Integer"),
        "float" | "double" => (value.is_number(), "Float"),
        _ => (value.is_object(), "Structure"),
    };
    if fits {
        return blob(shape, value, place);
    }
    let found = match value {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    let article = if wanted == "Integer" { "an" } else { "a" };
    serialization(format!(
        "{found} can not be converted to {article} {wanted}"
    ))
}

fn blob(shape: &Shape, value: &Value, place: &Place) -> Check {
    let Some(encoded) = value.as_str().filter(|_| shape.kind == "blob") else {
        return Ok(());
    };
    match STANDARD.decode(encoded) {
        Ok(_) => Ok(()),
        Err(_) => serialization(format!(
            "Unable to decode the blob at {} as base64",
            place.json
        )),
    }
}

fn serialization(message: String) -> Check {
    Err(AwsError::new(400, "SerializationException", message))
}

/// The length of base64 after decoding.
fn decoded_length(encoded: &str) -> usize {
    let padding = encoded
        .bytes()
        .rev()
        .take_while(|byte| *byte == b'=')
        .count();
    (encoded.len() / 4 * 3).saturating_sub(padding)
}
