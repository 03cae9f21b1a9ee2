//! A JSON string that is still JSON: quotes and escapes as they came.
//!
//! A streamed delta goes from a Converse event into a client's event without being unescaped and
//! escaped again.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::value::RawValue;

/// A string literal of valid JSON, borrowed from the event it stood in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonStr<'a>(&'a str);

impl<'a> JsonStr<'a> {
    /// The literal with its quotes; without raw control characters, so without line breaks.
    pub const fn as_json(self) -> &'a str {
        self.0
    }

    /// Whether the string is `""`.
    pub fn is_empty(self) -> bool {
        self.0 == "\"\""
    }

    /// The string itself; lone surrogates become U+FFFD.
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
