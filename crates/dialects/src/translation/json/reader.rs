//! Reads the text of a body into [`Json`] faster than serde: the ends of strings are searched with vectors.
//!
//! It returns `None` for what it does not read, such as errors and deep nesting: serde reads that, and has the errors.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{super::cursor::quote_or_escape, Json, MAX_VALUES, Object, is_verbatim, verbatim};

/// Nesting that is read here. serde_json reads 127 levels.
pub(super) const DEPTH: u8 = 64;
/// Bytes that are checked for control characters together.
const BLOCK: usize = 128;

/// The value of a text that has nothing else.
pub(super) fn read(text: &str) -> Option<Json<'_>> {
    let mut reader = Reader {
        rest: text,
        left: MAX_VALUES,
        has_controls: has_controls(text.as_bytes()),
    };
    let value = reader.value(DEPTH)?;
    reader.peek().is_none().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    /// Number of values that may follow.
    left: u32,
    /// Whether the text has control characters, so that strings may have them.
    has_controls: bool,
}

impl<'a> Reader<'a> {
    /// The next byte that is not white space, without consuming it.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.rest.as_bytes();
        let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
        match bytes.first() {
            Some(first) if is_space(first) => {
                let spaces = bytes.iter().take_while(|byte| is_space(byte)).count();
                self.rest = self.rest.get(spaces..)?;
                self.rest.as_bytes().first().copied()
            }
            first => first.copied(),
        }
    }

    /// Consumes the next byte that is not white space, if it is `byte`.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if is_next {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        is_next
    }

    fn value(&mut self, depth: u8) -> Option<Json<'a>> {
        self.left = self.left.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(Json::String),
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            _ => self.scalar(),
        }
    }

    fn object(&mut self, depth: u8) -> Option<Json<'a>> {
        let mut members = Vec::new();
        self.take(b'{').then_some(())?;
        if self.take(b'}') {
            return Some(Json::Object(Object(members)));
        }
        loop {
            let key = self.string()?;
            self.take(b':').then_some(())?;
            let value = if is_verbatim(&key) {
                verbatim(&key, self.raw()?).ok()?
            } else {
                self.value(depth)?
            };
            members.push((key, value));
            if !self.take(b',') {
                self.take(b'}').then_some(())?;
                return Some(Json::Object(Object(members)));
            }
        }
    }

    fn array(&mut self, depth: u8) -> Option<Json<'a>> {
        let mut items = Vec::new();
        self.take(b'[').then_some(())?;
        if self.take(b']') {
            return Some(Json::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if !self.take(b',') {
                self.take(b']').then_some(())?;
                return Some(Json::Array(items));
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn scalar(&mut self) -> Option<Json<'a>> {
        let is_part =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = self.rest.bytes().take_while(is_part).count();
        let (token, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        serde_json::from_str(token).ok()
    }

    /// A value as it is written.
    fn raw(&mut self) -> Option<&'a RawValue> {
        let mut values = serde_json::Deserializer::from_str(self.rest).into_iter();
        let value = values.next()?.ok()?;
        self.rest = self.rest.get(values.byte_offset()..)?;
        Some(value)
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        if !self.take(b'"') {
            return None;
        }
        let text = self.rest;
        let mut unescaped = String::new();
        loop {
            let at = quote_or_escape(self.rest.as_bytes())?;
            let (run, rest) = self.rest.split_at_checked(at)?;
            if self.has_controls && has_controls(run.as_bytes()) {
                return None;
            }
            if rest.starts_with('"') {
                self.rest = rest.get(1..)?;
                let length = text.len().checked_sub(rest.len())?;
                let is_plain = length == run.len();
                unescaped.push_str(if is_plain { "" } else { run });
                return Some(if is_plain {
                    Cow::Borrowed(run)
                } else {
                    Cow::Owned(unescaped)
                });
            }
            unescaped.push_str(run);
            let escape = rest.as_bytes().get(1)?;
            unescaped.push(match escape {
                b'"' => '"',
                b'\\' => '\\',
                b'/' => '/',
                b'b' => '\u{8}',
                b'f' => '\u{c}',
                b'n' => '\n',
                b'r' => '\r',
                b't' => '\t',
                b'u' => {
                    self.rest = rest;
                    self.unicode(&mut unescaped)?;
                    continue;
                }
                _ => return None,
            });
            self.rest = rest.get(2..)?;
        }
    }

    /// One character as `\uXXXX`, or two such escapes for a pair of surrogates.
    fn unicode(&mut self, unescaped: &mut String) -> Option<()> {
        let first = self.code_unit()?;
        let second = match first {
            0xd800..0xdc00 => Some(self.code_unit()?),
            _ => None,
        };
        let units = std::iter::once(first).chain(second);
        for character in char::decode_utf16(units) {
            unescaped.push(character.ok()?);
        }
        Some(())
    }

    fn code_unit(&mut self) -> Option<u16> {
        let digits = self.rest.strip_prefix("\\u")?;
        let (digits, rest) = digits.split_at_checked(4)?;
        self.rest = rest;
        // `from_str_radix` accepts a sign.
        let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        are_digits.then_some(())?;
        u16::from_str_radix(digits, 16).ok()
    }
}

/// Whether a string has control characters, which JSON forbids.
pub(super) fn has_controls(bytes: &[u8]) -> bool {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let least = |block: &[u8; BLOCK]| block.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    let of_rest = rest.iter().fold(u8::MAX, |least, byte| least.min(*byte));
    of_rest < b' ' || blocks.iter().any(|block| least(block) < b' ')
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// What serde reads, or `None` for an error.
    fn by_serde(text: &str) -> Option<String> {
        let json: Option<Json<'_>> = serde_json::from_str(text).ok();
        json.map(|json| format!("{json:?}"))
    }

    /// Whether what is read here, if anything, is what serde reads.
    fn agrees(text: &str) -> Result<bool, TestCaseError> {
        let read = read(text).map(|json| format!("{json:?}"));
        if read.is_some() {
            prop_assert_eq!(&read, &by_serde(text), "{}", text);
        }
        Ok(read.is_some())
    }

    pub(in super::super) fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
            "[a-z \"\\\\\n\u{e9}\u{1f600}]{0,200}".prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 40, 6, |inner| {
            let key = prop_oneof![
                ".{0,4}",
                Just("input".to_owned()),
                Just("schema".to_owned())
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::vec((key, inner), 0..6)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Pieces of which texts are made that are almost JSON.
    pub(in super::super) fn pieces() -> impl Strategy<Value = String> {
        let piece = prop_oneof![
            prop::sample::select(vec![
                "{",
                "}",
                "[",
                "]",
                ",",
                ":",
                "\"",
                "\\",
                " ",
                "\n",
                "\t",
                "\r",
                "\u{b}",
                "\u{a0}",
                "\u{feff}",
                "\"input\":",
                "\"schema\":",
                "\"a\":",
                "{\"a\":",
                "null",
                "true",
                "false",
                "nul",
                "0",
                "-0",
                "-",
                "01",
                "1.",
                ".5",
                "1e5",
                "1E+400",
                "+1",
                "NaN",
                "12345678901234567890",
                "\\n",
                "\\/",
                "\\x",
                "\\u",
                "\\u0041",
                "\\u00",
                "\\u+041",
                "\\ud83d",
                "\\ude00",
                "\\ud83d\\ude00",
                "\\uD800\\u0041",
                "\u{0}",
                "\u{1f}",
                "\u{7f}",
                "\"text\"",
                "\"\"",
                "é",
                "😀",
            ])
            .prop_map(str::to_owned),
            ".{0,3}",
        ];
        prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn json_is_read_as_serde_reads_it(value in values(), is_pretty in any::<bool>()) {
            let text = if is_pretty { format!("{value:#}\n") } else { value.to_string() };
            prop_assert!(agrees(&text)?, "not read: {text}");
        }

        #[test]
        fn escaped_text_is_read_as_serde_reads_it(text in ".*") {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            let escaped = format!("\"{}\"", units.collect::<String>());
            prop_assert!(agrees(&escaped)?, "not read: {escaped}");
        }

        #[test]
        fn what_serde_rejects_is_not_read(text in pieces()) {
            agrees(&text)?;
            agrees(&format!("\"{text}\""))?;
            agrees(&format!("{{\"a\":[{text}]}}"))?;
        }

        #[test]
        fn a_broken_text_is_not_read_differently(
            value in values(),
            at in any::<prop::sample::Index>(),
            insert in pieces(),
        ) {
            let text = value.to_string();
            let at = text.char_indices().nth(at.index(text.chars().count())).map_or(0, |(at, _)| at);
            let (before, after) = text.split_at(at);
            agrees(before)?;
            agrees(&format!("{before}{insert}{after}"))?;
            agrees(&format!("{before}{}", after.chars().skip(1).collect::<String>()))?;
        }
    }

    #[test]
    fn every_control_character_in_a_long_string_is_found() {
        for byte in 0..0x20_u8 {
            for at in [0, 1, 127, 128, 130] {
                let mut text = "x".repeat(131);
                text.replace_range(at..=at, &char::from(byte).to_string());
                assert!(read(&format!("\"{text}\"")).is_none(), "{byte} at {at}");
            }
        }
    }

    #[test]
    fn deep_nesting_is_left_to_serde() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(usize::from(DEPTH))).is_some());
        assert!(read(&nested(usize::from(DEPTH) + 1)).is_none());
        assert!(by_serde(&nested(usize::from(DEPTH) + 1)).is_some());
    }
}
