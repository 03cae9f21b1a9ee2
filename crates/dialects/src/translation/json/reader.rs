//! Reads the text of a body into [`Json`] faster than serde: the ends of strings are searched with vectors.
//!
//! It returns `None` for what it does not read, such as errors and deep nesting: serde reads that, and has the errors.

use bedrock::converse::Text;
use serde_json::value::RawValue;

use super::{Json, MAX_VALUES, Object, is_verbatim, verbatim};

/// Nesting that is read here. serde_json reads 127 levels.
pub(super) const DEPTH: u8 = 64;

/// The value of a text that has nothing else.
pub(super) fn read(text: &str) -> Option<Json<'_>> {
    let mut reader = Reader {
        rest: text,
        left: MAX_VALUES,
    };
    let value = reader.value(DEPTH)?;
    reader.peek().is_none().then_some(value)
}

struct Reader<'a> {
    rest: &'a str,
    /// Number of values that may follow.
    left: u32,
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
            let key = self.string()?.decode();
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

    fn string(&mut self) -> Option<Text<'a>> {
        self.peek()?;
        let (text, rest) = Text::read(self.rest)?;
        self.rest = rest;
        Some(text)
    }
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
