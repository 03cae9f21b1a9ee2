//! A JSON string literal, kept with its quotes and escapes.
//!
//! A streamed delta is copied from a Converse event into a client's event without decoding and encoding it again.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

/// A valid JSON string literal, borrowed from its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonStr<'a>(&'a str);

impl<'a> JsonStr<'a> {
    /// The literal must be valid.
    pub(super) const fn of_literal(literal: &'a str) -> Self {
        Self(literal)
    }

    /// The literal with its quotes; it contains no raw control characters and therefore no line breaks.
    pub const fn as_json(self) -> &'a str {
        self.0
    }

    /// Whether the string is `""`.
    pub fn is_empty(self) -> bool {
        self.0 == "\"\""
    }

    /// The decoded string; lone surrogates become U+FFFD.
    pub fn decode(self) -> Cow<'a, str> {
        let inner = self
            .0
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or_default();
        if inner.contains('\\') {
            serde_json::from_str::<String>(self.0)
                .map_or_else(|_| Cow::Owned(inner.replace("\\u", "\u{fffd}")), Cow::Owned)
        } else {
            Cow::Borrowed(inner)
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for JsonStr<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&'de RawValue>::deserialize(deserializer)?.get();
        if raw.starts_with('"') {
            Ok(Self(raw))
        } else {
            Err(D::Error::custom("expected a string"))
        }
    }
}
