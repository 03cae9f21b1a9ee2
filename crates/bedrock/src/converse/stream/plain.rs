//! Reads deltas of text in the form in which Bedrock writes them, without a parser: they are most of a stream.
//!
//! serde reads all others, and tests compare both.

use super::{BlockDelta, Delta, JsonStr};
use crate::literal::valid_end;

/// Digits of an index.
const MAX_DIGITS: usize = 9;

/// A delta of text; none if the payload has another form.
pub(super) fn text_delta(payload: &[u8]) -> Option<BlockDelta<'_>> {
    let payload = std::str::from_utf8(payload).ok()?;
    let rest = payload.strip_prefix(r#"{"contentBlockIndex":"#)?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (index, rest) = rest.split_at_checked(digits)?;
    if digits > MAX_DIGITS || (digits > 1 && index.starts_with('0')) {
        return None;
    }
    let rest = rest.strip_prefix(r#","delta":{"text":"#)?;
    let (text, rest) = string(rest)?;
    let rest = rest.strip_prefix('}')?;
    let rest = match rest.strip_prefix(r#","p":"#) {
        Some(padding) => string(padding)?.1,
        None => rest,
    };
    (rest == "}").then_some(BlockDelta {
        content_block_index: index.parse().ok()?,
        delta: Delta {
            text: Some(text),
            ..Delta::default()
        },
    })
}

/// A string, and what follows it.
fn string(text: &str) -> Option<(JsonStr<'_>, &str)> {
    let content = text.strip_prefix('"')?;
    let end = valid_end(content.as_bytes())?;
    let (literal, rest) = text.split_at_checked(end.at.checked_add(2)?)?;
    Some((JsonStr::of_literal(literal), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::converse::from_json;

    fn agrees(payload: &[u8]) -> Result<bool, TestCaseError> {
        let read = text_delta(payload);
        if read.is_some() {
            let expected: Option<BlockDelta<'_>> = from_json(payload).ok();
            prop_assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        }
        Ok(read.is_some())
    }

    proptest! {
        #[test]
        fn deltas_are_read_as_serde_reads_them(
            index in 0..=999_999_999_u64,
            text in "([^\"\\\\\u{0}-\u{1f}]|\\\\[\"\\\\/bfnrt]|\\\\u00[0-9a-f]{2}|\\\\ud83d\\\\ude00)*",
            padding in prop::option::of("[a-zA-Z0-9]{0,60}"),
        ) {
            let padding = padding.map(|padding| format!(",\"p\":\"{padding}\"")).unwrap_or_default();
            let payload = format!(
                "{{\"contentBlockIndex\":{index},\"delta\":{{\"text\":\"{text}\"}}{padding}}}"
            );
            prop_assert!(agrees(payload.as_bytes())?, "not read: {payload}");
        }

        #[test]
        fn other_payloads_are_left_to_serde(
            pieces in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(vec![
                        "{\"contentBlockIndex\":", "0", "01", "1e3", "-1", "9999999999", ",", "\"delta\":",
                        "{\"text\":", "{\"toolUse\":", "\"", "\"\"", "\"a\"", "\\", "\\n", "\\u00e9", "\\ud83d", "\"\\ud83d\"", "\"\\n\"", "}", "}}",
                        ",\"p\":", " ", "null", "\u{1}", "{\"contentBlockIndex\":0,\"delta\":{\"text\":",
                    ]).prop_map(|piece| piece.as_bytes().to_vec()),
                    prop::collection::vec(any::<u8>(), 0..3),
                ],
                0..12,
            ),
        ) {
            agrees(&pieces.concat())?;
        }

        #[test]
        fn a_changed_payload_is_not_read_differently(
            change in any::<prop::sample::Index>(),
            byte: u8,
        ) {
            let mut payload =
                br#"{"contentBlockIndex":1,"delta":{"text":"Hello"},"p":"abc"}"#.to_vec();
            let at = change.index(payload.len());
            payload[at] = byte;
            agrees(&payload)?;
            payload.truncate(at);
            prop_assert!(!agrees(&payload)?);
        }
    }
}
