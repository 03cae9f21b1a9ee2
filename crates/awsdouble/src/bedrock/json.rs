//! Helpers to read JSON requests.

use serde_json::Value;

/// The list in a field; empty if absent.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The text in a field.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The first unknown key of an object.
pub(super) fn unknown_key<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    let mut keys = value.as_object()?.keys();
    keys.find(|key| !known.contains(&key.as_str()))
        .map(String::as_str)
}
