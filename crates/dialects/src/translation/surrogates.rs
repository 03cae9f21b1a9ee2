//! Repairs strings that were cut in the middle of a character: a lone surrogate becomes U+FFFD.
//!
//! JSON can escape half of a surrogate pair, which is no character. Clients that shorten text by UTF-16 units send it in
//! tool results, and then in every request of the conversation, and every parser of UTF-8 rejects it
//! (<https://github.com/anthropics/claude-code/issues/56064>).

use std::sync::LazyLock;

use memchr::{memchr, memmem::Finder};

/// The warning for a repaired body.
pub const REPAIRED: (&str, &str) = (
    "body",
    "half of a surrogate pair in a string was replaced by U+FFFD",
);

/// The start of an escape of a UTF-16 unit.
static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u"));

/// The body with U+FFFD for each lone surrogate; `None` if it has none, so that other bodies keep their bytes.
pub fn repaired(body: &[u8]) -> Option<Vec<u8>> {
    // A body without any escape is searched faster.
    let escapes = body.get(memchr(b'\\', body)?..)?;
    // Surrogates are the escapes from \ud800 to \udfff.
    let is_surrogate = |at: &usize| matches!(escapes.get(at.saturating_add(2)), Some(b'd' | b'D'));
    ESCAPE.find_iter(escapes).find(is_surrogate)?;
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = body
        .get(at..)
        .and_then(|rest| rest.iter().position(|byte| *byte == b'\\'))
    {
        let escape = at.saturating_add(found);
        let unit = unit(body, escape);
        at = escape.saturating_add(if unit.is_some() { 6 } else { 2 });
        match unit {
            Some(0xd800..=0xdbff) if matches!(self::unit(body, at), Some(0xdc00..=0xdfff)) => {
                at = at.saturating_add(6);
            }
            Some(0xd800..=0xdfff) => {
                let out = out.get_or_insert_default();
                out.extend_from_slice(body.get(copied..escape).unwrap_or_default());
                out.extend_from_slice(b"\\ufffd");
                copied = at;
            }
            _ => {}
        }
    }
    let mut out = out?;
    out.extend_from_slice(body.get(copied..).unwrap_or_default());
    Some(out)
}

/// The UTF-16 unit of the escape `\uXXXX` at a position.
fn unit(body: &[u8], at: usize) -> Option<u16> {
    let escape = body.get(at..at.saturating_add(6))?;
    let digits = std::str::from_utf8(escape.strip_prefix(b"\\u")?).ok()?;
    // from_str_radix also reads a sign.
    if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    u16::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_lone_surrogates_are_replaced() {
        for (given, expected) in [
            (r#"{"a":"fine \ud83d…"}"#, r#"{"a":"fine \ufffd…"}"#),
            (r#""\uD83D\uDE00""#, r#""\uD83D\uDE00""#),
            (r#""\ude00\ud83d""#, r#""\ufffd\ufffd""#),
            (r#""\ud83d\ud83d\ude00""#, r#""\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud83d\n""#, r#""\ufffd\n""#),
            (r#""\u00e9\t""#, r#""\u00e9\t""#),
            (r#""\ud8"#, r#""\ud8"#),
            (r#""\u+d83""#, r#""\u+d83""#),
        ] {
            let repaired = repaired(given.as_bytes());
            assert_eq!(repaired.is_some(), given != expected, "{given}");
            let repaired = repaired.unwrap_or_else(|| given.into());
            assert_eq!(String::from_utf8(repaired).unwrap(), expected);
        }
    }

    proptest! {
        #[test]
        fn every_repaired_string_is_valid(text in r"(\\u[dD][89abAB][0-9a-f]{2}|\\u[dD][c-f][0-9a-f]{2}|\\\\|\\n|[a-z]){0,20}") {
            let body = format!("\"{text}\"");
            let fixed = repaired(body.as_bytes()).unwrap_or_else(|| body.clone().into());
            prop_assert!(serde_json::from_slice::<String>(&fixed).is_ok());
            prop_assert!(repaired(&fixed).is_none());
            if serde_json::from_str::<String>(&body).is_ok() {
                prop_assert_eq!(fixed, body.into_bytes());
            }
        }
    }
}
