//! One search of a body for the words that later checks look for: most bodies have none of them, and need no parser. Pure.

use std::sync::LazyLock;

use aho_corasick::packed::Searcher;

/// The ends of `requestMetadata` and of `projectIdentifier`: their beginnings are common in texts.
const ATTRIBUTION: [&[u8]; 2] = [b"tMetadata", b"tIdentifier"];
/// The start of an escape, as which any of the words can be written.
const ESCAPE: &[u8] = br"\u00";
/// The start of the URI of an S3 object.
const S3: &[u8] = b"s3:";

/// Absent on a processor without vector instructions.
static WORDS: LazyLock<Option<Searcher>> =
    LazyLock::new(|| Searcher::new([ATTRIBUTION[0], ATTRIBUTION[1], ESCAPE, S3]));

/// What a body may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Words {
    /// `requestMetadata` or `projectIdentifier`.
    pub(super) attribution: bool,
    /// The URI of an S3 object.
    pub(super) s3: bool,
}

impl Words {
    /// Searches a body in pieces. No word is in two of them, since they begin and end with a value.
    pub(super) fn of<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Self {
        let mut found = Self {
            attribution: false,
            s3: false,
        };
        for piece in pieces {
            found.search(piece);
        }
        found
    }

    fn search(&mut self, body: &[u8]) {
        let Some(words) = &*WORDS else {
            *self = Self {
                attribution: true,
                s3: true,
            };
            return;
        };
        for word in words.find_iter(body) {
            match body.get(word.start()..word.end()) {
                Some(S3) => self.s3 = true,
                Some(ESCAPE) => {
                    // Letters are \u0041 to \u007a, and the characters of `s3:` are \u0073, \u0033 and \u003a.
                    let digits = body.get(word.end()..).and_then(|rest| rest.first_chunk());
                    self.attribution |= matches!(digits, Some([b'4'..=b'7', _]));
                    self.s3 |= matches!(digits, Some(b"73" | b"33" | b"3a" | b"3A"));
                }
                _ => self.attribution = true,
            }
            if self.attribution && self.s3 {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn found(body: &[u8]) -> (bool, bool) {
        let Words { attribution, s3 } = Words::of(std::iter::once(body));
        (attribution, s3)
    }

    #[test]
    fn finds_each_word_as_it_is_and_with_escapes() {
        for (body, expected) in [
            (&br#"{"requestMetadata":{}}"#[..], (true, false)),
            (br#"{"projectIdentifier":"p"}"#, (true, false)),
            (br#"{"uri":"s3://b/k"}"#, (false, true)),
            (br#"{"uri":"\u00733://b/k"}"#, (true, true)),
            (br#"{"uri":"s\u0033://b/k"}"#, (false, true)),
            (br#"{"uri":"s3\u003a//b/k"}"#, (false, true)),
            (br#"{"uri":"s3\u003A//b/k"}"#, (false, true)),
            (br#"{"\u0072equestMetadata":{}}"#, (true, false)),
            (
                br#"{"text":"a request for a project \u00e9 \u003ca\u003e \u0022 \u0026"}"#,
                (false, false),
            ),
            (br#"{"text":"\u0030 \u0045"}"#, (true, false)),
            (
                br#"{"text":"a request for a project","s3":"s3"}"#,
                (false, false),
            ),
        ] {
            assert_eq!(found(body), expected, "{}", String::from_utf8_lossy(body));
        }
    }

    /// The text with some characters written as escapes.
    fn escaped(text: &str, which: &[bool]) -> String {
        let each = text
            .chars()
            .zip(which.iter().chain(std::iter::repeat(&false)));
        each.map(|(c, escape)| match escape {
            true => format!("\\u{:04x}", u32::from(c)),
            false => c.to_string(),
        })
        .collect()
    }

    proptest! {
        #[test]
        fn no_spelling_of_a_word_is_missed(
            word in prop_oneof![Just("requestMetadata"), Just("projectIdentifier"), Just("s3://b")],
            which in prop::collection::vec(any::<bool>(), 0..20),
            before in "[ -~]{0,80}",
        ) {
            let text = format!("{{{}:\"{}\"}}", Value::from(before), escaped(word, &which));
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok());
            let (attribution, s3) = found(text.as_bytes());
            let is_found = if word.starts_with("s3") { s3 } else { attribution };
            prop_assert!(is_found);
        }
    }

    #[test]
    fn bodies_of_most_requests_have_none() {
        let body = json!({ "messages": [{ "role": "user", "content": [{ "text": "What is in \"S3\"?\n" }] }] });
        assert_eq!(found(body.to_string().as_bytes()), (false, false));
    }
}
