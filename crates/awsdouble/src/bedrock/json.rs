//! Small looks into JSON documents, shared by all that reads requests.

use serde_json::Value;

/// The list under a name; empty when there is none.
pub(super) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value
        .get(name)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// The text under a name.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

/// The first name of an object that is not among the known ones.
pub(super) fn unknown_key<'a>(value: &'a Value, known: &[&str]) -> Option<&'a str> {
    let mut keys = value.as_object()?.keys();
    keys.find(|key| !known.contains(&key.as_str()))
        .map(String::as_str)
}
