//! A borrowed tree of a client's JSON: strings borrow from the body, members keep their order.
//!
//! The members `parameters`, `schema` and `input_schema`, and objects in `input`, stay raw text, so that JSON Schemas
//! and arguments reach the model byte for byte. Decoding takes members out of an object; the members that remain are
//! unknown fields.

mod check;
mod reader;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, cell::Cell, fmt};

use bedrock::converse::Text;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor},
    ser::{SerializeMap, SerializeSeq},
};
use serde_json::{Number, Value, value::RawValue};

use super::error::RequestError;

pub(crate) use check::members;

/// Members whose values stay raw text.
const VERBATIM: [&str; 3] = ["parameters", "schema", "input_schema"];
/// The member with a call's arguments; an object in it stays raw text, too.
const ARGUMENTS: &str = "input";

/// Values in a body. Each takes up to 16 times its size in memory.
const MAX_VALUES: u32 = 1_000_000;

/// A JSON value.
#[derive(Clone, Debug)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Number(Number),
    String(Text<'a>),
    Array(Vec<Self>),
    Object(Object<'a>),
    /// The value of a [`VERBATIM`] member.
    Raw(&'a RawValue),
}

/// The members of an object, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object<'a>(Vec<(Cow<'a, str>, Json<'a>)>);

/// Path of a value in the body; formatted only for errors and warnings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldPath<'p> {
    Root,
    Key(&'p Self, &'p str),
    Index(&'p Self, usize),
}

impl<'p> FieldPath<'p> {
    pub(crate) fn key(&'p self, key: &'p str) -> Self {
        FieldPath::Key(self, key)
    }

    pub(crate) fn index(&'p self, index: usize) -> Self {
        FieldPath::Index(self, index)
    }
}

impl fmt::Display for FieldPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldPath::Root => Ok(()),
            FieldPath::Key(FieldPath::Root, key) => f.write_str(key),
            FieldPath::Key(parent, key) => write!(f, "{parent}.{key}"),
            FieldPath::Index(parent, index) => write!(f, "{parent}[{index}]"),
        }
    }
}

impl<'a> Json<'a> {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The string at a path of members, without taking it.
    pub(crate) fn text_at(&self, path: &[&str]) -> Option<Cow<'_, str>> {
        match (self, path.split_first()) {
            (Self::String(text), None) => Some(text.decoded()),
            (Self::Object(object), Some((key, rest))) => {
                let (_, value) = object.0.iter().rfind(|(name, _)| name == key)?;
                value.text_at(rest)
            }
            _ => None,
        }
    }

    /// The JSON type, for error messages.
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
            Self::Raw(_) => "JSON",
        }
    }

    fn wrong(&self, at: &FieldPath<'_>, expected: &str) -> RequestError {
        RequestError::invalid(
            at.to_string(),
            format!("expected {expected}, got {}", self.kind()),
        )
    }

    /// Parses a raw value, for a [`VERBATIM`] member that is not a schema.
    fn read(self, at: &FieldPath<'_>) -> Result<Self, RequestError> {
        match self {
            Self::Raw(raw) => serde_json::from_str(raw.get())
                .map_err(|error| RequestError::invalid(at.to_string(), error.to_string())),
            other => Ok(other),
        }
    }

    pub(crate) fn string(self, at: &FieldPath<'_>) -> Result<Cow<'a, str>, RequestError> {
        self.text(at).map(Text::decode)
    }

    /// A string as the client wrote it.
    pub(crate) fn text(self, at: &FieldPath<'_>) -> Result<Text<'a>, RequestError> {
        match self.read(at)? {
            Self::String(text) => Ok(text),
            other => Err(other.wrong(at, "a string")),
        }
    }

    pub(crate) fn boolean(self, at: &FieldPath<'_>) -> Result<bool, RequestError> {
        match self.read(at)? {
            Self::Bool(flag) => Ok(flag),
            other => Err(other.wrong(at, "true or false")),
        }
    }

    pub(crate) fn float(self, at: &FieldPath<'_>) -> Result<f64, RequestError> {
        match self.read(at)? {
            Self::Number(number) => number
                .as_f64()
                .ok_or_else(|| RequestError::invalid(at.to_string(), "number out of range")),
            other => Err(other.wrong(at, "a number")),
        }
    }

    /// A whole number of at least zero; accepts `5.0` as `5`.
    pub(crate) fn whole(self, at: &FieldPath<'_>) -> Result<u64, RequestError> {
        let rejected =
            || RequestError::invalid(at.to_string(), "expected a whole number of at least 0");
        match self.read(at)? {
            Self::Number(number) => number
                .as_u64()
                .or_else(|| {
                    let float = number.as_f64().filter(|float| float.fract() == 0.0)?;
                    format!("{float:.0}").parse().ok()
                })
                .ok_or_else(rejected),
            other => Err(other.wrong(at, "a whole number")),
        }
    }

    pub(crate) fn array(self, at: &FieldPath<'_>) -> Result<Vec<Self>, RequestError> {
        match self.read(at)? {
            Self::Array(items) => Ok(items),
            other => Err(other.wrong(at, "an array")),
        }
    }

    pub(crate) fn object(self, at: &FieldPath<'_>) -> Result<Object<'a>, RequestError> {
        match self.read(at)? {
            Self::Object(object) => Ok(object),
            other => Err(other.wrong(at, "an object")),
        }
    }

    /// The value as an owned tree.
    pub(crate) fn into_value(self, at: &FieldPath<'_>) -> Result<Value, RequestError> {
        Ok(match self.read(at)? {
            Self::Null | Self::Raw(_) => Value::Null,
            Self::Bool(flag) => Value::Bool(flag),
            Self::Number(number) => Value::Number(number),
            Self::String(text) => Value::String(text.decode().into_owned()),
            Self::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| item.into_value(at))
                    .collect::<Result<_, _>>()?,
            ),
            Self::Object(object) => Value::Object(
                object
                    .0
                    .into_iter()
                    .map(|(key, value)| Ok((key.into_owned(), value.into_value(at)?)))
                    .collect::<Result<_, RequestError>>()?,
            ),
        })
    }
}

/// The text of a body that is forwarded, which must be what [`Object::from_body`] reads.
///
/// # Errors
/// When the body is not a JSON object.
pub(crate) fn checked(body: &[u8]) -> Result<&str, RequestError> {
    let text = simdutf8::basic::from_utf8(body).ok();
    let is_object = |text: &&str| members(text, |_, _| Some(())).is_some();
    if let Some(text) = text.filter(is_object) {
        return Ok(text);
    }
    Object::from_body(body)?;
    text.ok_or_else(RequestError::no_object)
}

impl<'a> Object<'a> {
    /// The members of a body.
    ///
    /// # Errors
    /// When the body is not a JSON object.
    pub(crate) fn from_body(body: &'a [u8]) -> Result<Self, RequestError> {
        // The encoding is checked at once; serde would check each string.
        let json = match simdutf8::basic::from_utf8(body) {
            Ok(text) => reader::read(text).map_or_else(|| serde_json::from_str(text), Ok),
            Err(_) => serde_json::from_slice(body),
        };
        match json.map_err(|error| RequestError::not_json(&error))? {
            Json::Object(members) => Ok(members),
            _ => Err(RequestError::no_object()),
        }
    }

    /// A member, without taking it; `null` counts as absent.
    pub(crate) fn get(&self, key: &str) -> Option<&Json<'a>> {
        let (_, value) = self.0.iter().rfind(|(name, _)| name == key)?;
        (!value.is_null()).then_some(value)
    }

    /// Takes a member out; `null` counts as absent. The last of duplicate members counts.
    pub(crate) fn take(&mut self, key: &str) -> Option<Json<'a>> {
        let at = self.0.iter().rposition(|(name, _)| name == key)?;
        let (_, value) = self.0.remove(at);
        // What is left before it are duplicates.
        if self.0.iter().take(at).any(|(name, _)| name == key) {
            self.0.retain(|(name, _)| name != key);
        }
        (!value.is_null()).then_some(value)
    }

    /// Sets a member; replaces a member of the same name.
    pub(crate) fn set(&mut self, key: &'static str, value: Json<'a>) {
        self.0.retain(|(name, _)| name != key);
        self.0.push((Cow::Borrowed(key), value));
    }

    pub(crate) fn string(
        &mut self,
        key: &str,
        at: &FieldPath<'_>,
    ) -> Result<Option<Cow<'a, str>>, RequestError> {
        self.take(key)
            .map(|value| value.string(&at.key(key)))
            .transpose()
    }

    /// A string as the client wrote it.
    pub(crate) fn text(
        &mut self,
        key: &str,
        at: &FieldPath<'_>,
    ) -> Result<Option<Text<'a>>, RequestError> {
        self.take(key)
            .map(|value| value.text(&at.key(key)))
            .transpose()
    }

    pub(crate) fn boolean(
        &mut self,
        key: &str,
        at: &FieldPath<'_>,
    ) -> Result<Option<bool>, RequestError> {
        self.take(key)
            .map(|value| value.boolean(&at.key(key)))
            .transpose()
    }

    pub(crate) fn required_string(
        &mut self,
        key: &str,
        at: &FieldPath<'_>,
    ) -> Result<Cow<'a, str>, RequestError> {
        self.string(key, at)?
            .ok_or_else(|| RequestError::missing(at.key(key).to_string(), "is required"))
    }

    pub(crate) fn required_text(
        &mut self,
        key: &str,
        at: &FieldPath<'_>,
    ) -> Result<Text<'a>, RequestError> {
        self.text(key, at)?
            .ok_or_else(|| RequestError::missing(at.key(key).to_string(), "is required"))
    }

    pub(crate) fn object(
        &mut self,
        key: &str,
        at: &FieldPath<'_>,
    ) -> Result<Option<Self>, RequestError> {
        self.take(key)
            .map(|value| value.object(&at.key(key)))
            .transpose()
    }

    /// The members that were not taken, except `null`.
    pub(crate) fn rest(self) -> impl Iterator<Item = (Cow<'a, str>, Json<'a>)> {
        self.0.into_iter().filter(|(_, value)| !value.is_null())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Json<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let left = Cell::new(MAX_VALUES);
        JsonVisitor { left: &left }.deserialize(deserializer)
    }
}

/// Reads a value, and counts down the number of values that may follow.
#[derive(Clone, Copy)]
struct JsonVisitor<'c> {
    left: &'c Cell<u32>,
}

impl<'de> DeserializeSeed<'de> for JsonVisitor<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        let left = self
            .left
            .get()
            .checked_sub(1)
            .ok_or_else(|| D::Error::custom(format_args!("more than {MAX_VALUES} values")))?;
        self.left.set(left);
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for JsonVisitor<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Json::String(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Json::String(value.to_owned().into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Self::Value, E> {
        Ok(Json::String(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(self)? {
            items.push(item);
        }
        Ok(Json::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(CowKey(key)) = access.next_key()? {
            let value = if is_verbatim(&key) {
                let raw = access.next_value::<&'de RawValue>()?;
                verbatim(&key, raw).map_err(A::Error::custom)?
            } else {
                access.next_value_seed(self)?
            };
            members.push((key, value));
        }
        Ok(Json::Object(Object(members)))
    }
}

/// Whether the value of a member may stay raw text.
fn is_verbatim(key: &str) -> bool {
    key == ARGUMENTS || VERBATIM.contains(&key)
}

/// The value of such a member.
fn verbatim<'a>(key: &str, raw: &'a RawValue) -> serde_json::Result<Json<'a>> {
    if raw.get() == "null" {
        Ok(Json::Null)
    } else if key == ARGUMENTS && !raw.get().starts_with('{') {
        serde_json::from_str(raw.get())
    } else {
        Ok(Json::Raw(raw))
    }
}

/// A key that borrows if it has no escapes (serde's own `Cow` never borrows).
struct CowKey<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for CowKey<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = CowKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
                Ok(CowKey(Cow::Borrowed(value)))
            }

            fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
                Ok(CowKey(Cow::Owned(value.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

impl Serialize for Json<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Number(number) => number.serialize(serializer),
            Self::String(text) => serializer.serialize_str(&text.decoded()),
            Self::Array(items) => {
                let mut seq = serializer.serialize_seq(Some(items.len()))?;
                for item in items {
                    seq.serialize_element(item)?;
                }
                seq.end()
            }
            Self::Object(object) => {
                let mut map = serializer.serialize_map(Some(object.0.len()))?;
                for (key, value) in &object.0 {
                    map.serialize_entry(key, value)?;
                }
                map.end()
            }
            Self::Raw(raw) => raw.serialize(serializer),
        }
    }
}
