//! Writes long strings without looking at each byte for escapes.
//!
//! `serde_json` looks up each byte of a string in a table. Most long strings need no escapes, which a check of whole
//! vectors shows ten times faster; such a string is written as raw JSON.

use serde::{Serializer, ser::SerializeStruct};

/// Shorter strings cost less than the copy.
const LONG_BYTES: usize = 256;
/// How `serde_json` names a struct whose text it writes as it is: `RawValue`, which would be parsed first. Tests fail if that
/// changes.
const RAW: &str = "$serde_json::private::RawValue";

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
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::super::content::ContentBlock;

    fn check(text: &str) {
        let block = ContentBlock::Text(Cow::Borrowed(text));
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
}
