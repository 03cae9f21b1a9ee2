//! Texts of a request, and how long strings are written without looking at each byte for escapes.
//!
//! `serde_json` looks up each byte of a string in a table. Most long strings need no escapes, which a check of whole
//! vectors shows ten times faster; such a string is written as raw JSON. A text that a client wrote with escapes keeps them: decoding and
//! encoding it would take as long as its hash.

use std::{borrow::Cow, fmt};

use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::JsonStr;
use crate::literal::valid_end;

/// Shorter strings cost less than the copy.
const LONG_BYTES: usize = 256;
/// How `serde_json` names a struct whose text it writes as it is: `RawValue`, which would be parsed first. Tests fail if that
/// changes.
const RAW: &str = "$serde_json::private::RawValue";

/// A text: decoded, or as the client wrote it.
#[derive(Clone)]
pub struct Text<'a>(Form<'a>);

#[derive(Clone)]
enum Form<'a> {
    Plain(Cow<'a, str>),
    /// A literal with escapes; no surrogate is alone.
    Literal(JsonStr<'a>),
}

impl<'a> Text<'a> {
    /// Reads the literal at the beginning of a JSON text, and returns what follows it. `None` if none is there, or an invalid one.
    pub fn read(json: &'a str) -> Option<(Self, &'a str)> {
        let content = json.strip_prefix('"')?;
        let end = valid_end(content.as_bytes())?;
        let (content, rest) = content.split_at_checked(end.at)?;
        let rest = rest.get(1..)?;
        let form = if end.has_escapes {
            let length = json.len().checked_sub(rest.len())?;
            Form::Literal(JsonStr::of_literal(json.get(..length)?))
        } else {
            Form::Plain(Cow::Borrowed(content))
        };
        Some((Self(form), rest))
    }

    /// The decoded text.
    pub fn decode(self) -> Cow<'a, str> {
        match self.0 {
            Form::Plain(text) => text,
            Form::Literal(literal) => literal.decode(),
        }
    }

    /// The decoded text, which is a copy if the client wrote it with escapes.
    pub fn decoded(&self) -> Cow<'_, str> {
        match &self.0 {
            Form::Plain(text) => Cow::Borrowed(text),
            Form::Literal(literal) => literal.decode(),
        }
    }

    /// Size in bytes as it is kept.
    pub fn bytes(&self) -> usize {
        match &self.0 {
            Form::Plain(text) => text.len(),
            Form::Literal(literal) => literal.as_json().len(),
        }
    }

    /// Whether it has no characters.
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Form::Plain(text) => text.is_empty(),
            Form::Literal(_) => false,
        }
    }

    /// Whether it has white space only.
    pub fn is_blank(&self) -> bool {
        self.first_visible().is_none()
    }

    /// The first character that is not white space.
    pub fn first_visible(&self) -> Option<char> {
        let first = |text: &str| text.trim_start().chars().next();
        match &self.0 {
            Form::Plain(text) => first(text),
            Form::Literal(literal) => {
                let mut rest = literal.as_json().get(1..).unwrap_or_default().trim_start();
                while let Some(after) = [r"\n", r"\t", r"\r"]
                    .iter()
                    .find_map(|space| rest.strip_prefix(space))
                {
                    rest = after.trim_start();
                }
                match rest.chars().next() {
                    Some('\\') => match rest.chars().nth(1) {
                        visible @ Some('"' | '\\' | '/') => visible,
                        _ => first(&literal.decode()),
                    },
                    // The end of the literal.
                    Some('"') => None,
                    visible => visible,
                }
            }
        }
    }

    /// Removes white space at the end.
    pub fn trim_end(&mut self) {
        let mut text = std::mem::take(self).decode();
        let kept = text.trim_end().len();
        if kept < text.len() {
            text.to_mut().truncate(kept);
        }
        *self = text.into();
    }
}

impl Default for Text<'_> {
    fn default() -> Self {
        Self::from("")
    }
}

impl<'a> From<Cow<'a, str>> for Text<'a> {
    fn from(text: Cow<'a, str>) -> Self {
        Self(Form::Plain(text))
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Form::Plain(Cow::Borrowed(text)))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Form::Plain(Cow::Owned(text)))
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.decoded(), f)
    }
}

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Form::Plain(text) => serialize(text, serializer),
            Form::Literal(literal) => {
                let mut raw = serializer.serialize_struct(RAW, 1)?;
                raw.serialize_field(RAW, literal.as_json())?;
                raw.end()
            }
        }
    }
}

/// Serializes a string.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(text: &impl AsRef<str>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = text.as_ref();
    if text.len() >= LONG_BYTES && is_plain(text.as_bytes()) {
        let mut raw = serializer.serialize_struct(RAW, 1)?;
        // Each part is written as it is, so that the text is copied once.
        for part in ["\"", text, "\""] {
            raw.serialize_field(RAW, part)?;
        }
        return raw.end();
    }
    serializer.serialize_str(text)
}

/// Serializes a string, or `null`.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_option<S: Serializer>(
    text: &Option<impl AsRef<str>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match text {
        Some(text) => serialize(text, serializer),
        None => serializer.serialize_none(),
    }
}

/// Whether a string needs no escapes.
fn is_plain(text: &[u8]) -> bool {
    let needs_escape = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    // Without an early end in each part, so that the compiler uses vectors.
    text.chunks(256).all(|part| {
        !part
            .iter()
            .fold(false, |any, byte| any | needs_escape(byte))
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::prelude::*;

    use super::{super::content::ContentBlock, *};

    fn check(text: &str) {
        let block = ContentBlock::Text(text.into());
        let expected = format!("{{\"text\":{}}}", serde_json::to_string(text).unwrap());
        assert!(serde_json::to_string(&block).unwrap() == expected);
    }

    #[test]
    fn long_texts_with_one_escape_are_escaped() {
        for byte in 0..=127_u8 {
            for at in [0, 254, 256, 5000] {
                let mut text = "ä".repeat(2500);
                text.insert(at, char::from(byte));
                check(&text);
            }
        }
    }

    proptest! {
        #[test]
        fn texts_are_written_as_serde_json_writes_them(text in "[ -~\u{e9}\u{1f98a}\\PC]{0,40}", times in 1..80_usize) {
            check(&text.repeat(times));
        }
    }

    /// The text, read from a literal with some of its characters as escapes.
    fn read(literal: &str) -> Text<'_> {
        let (text, rest) = Text::read(literal).unwrap();
        assert_eq!(rest, "");
        text
    }

    proptest! {
        #[test]
        fn a_literal_is_the_text_that_serde_reads(
            text in prop_oneof!["[ \n\t\u{c}\u{a0}\u{2028}{\\PC]{0,6}.{0,60}", "[ \n\r\t\u{c}\u{a0}]{0,6}"],
            which in prop::collection::vec(any::<bool>(), 0..12),
        ) {
            let mut content = String::new();
            for (c, is_escaped) in text.chars().zip(which.iter().chain(std::iter::repeat(&false))) {
                if *is_escaped {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        write!(content, "\\u{unit:04x}").unwrap();
                    }
                } else {
                    let quoted = serde_json::to_string(&c).unwrap();
                    let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
                    content.push_str(inner.unwrap());
                }
            }
            let literal = format!("\"{content}\"");
            let decoded: String = serde_json::from_str(&literal).unwrap();
            prop_assert_eq!(&decoded, &text);
            let mut given = read(&literal);
            prop_assert_eq!(given.decoded(), decoded.as_str());
            prop_assert_eq!(given.first_visible(), decoded.trim_start().chars().next());
            prop_assert_eq!(given.is_blank(), decoded.trim().is_empty());
            prop_assert_eq!(given.is_empty(), decoded.is_empty());
            let written = serde_json::to_string(&ContentBlock::Text(given.clone())).unwrap();
            prop_assert_eq!(&written, &format!("{{\"text\":{literal}}}"));
            prop_assert_eq!(serde_json::to_value(ContentBlock::Text(given.clone())).unwrap(), serde_json::json!({ "text": decoded }));
            given.trim_end();
            prop_assert_eq!(given.decode(), decoded.trim_end());
        }
    }
}
