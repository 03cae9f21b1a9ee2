//! Checks that a text is JSON without building values, faster than serde: the ends of strings are searched with vectors.
//!
//! It accepts no text that serde rejects. It returns `None` for what it does not judge, such as errors and deep nesting:
//! serde reads that, and has the errors.

use bedrock::literal::valid_end;
use serde_json::Number;

use super::{MAX_VALUES, reader::DEPTH};

/// Digits of a number that is small enough without a doubt; the largest number has 309.
const DIGITS: usize = 300;

/// Calls `each` with the name of each member of an object and its value, both as they are written. `None` if the text
/// may not be an object, or when `each` returns it.
pub(crate) fn members<'a>(
    text: &'a str,
    mut each: impl FnMut(&'a str, &'a str) -> Option<()>,
) -> Option<()> {
    let mut checker = Checker {
        rest: text.as_bytes(),
        left: MAX_VALUES,
    };
    let position = |checker: &Checker<'_>| text.len().saturating_sub(checker.rest.len());
    let depth = DEPTH.checked_sub(1)?;
    checker.object(|checker, name| {
        checker.peek()?;
        let start = position(checker);
        checker.value(depth)?;
        let value = text.get(start..position(checker))?;
        each(std::str::from_utf8(name).ok()?, value)
    })?;
    checker.peek().is_none().then_some(())
}

struct Checker<'a> {
    rest: &'a [u8],
    /// Number of values that may follow.
    left: u32,
}

impl<'a> Checker<'a> {
    /// The next byte that is not white space, without consuming it.
    fn peek(&mut self) -> Option<u8> {
        loop {
            match self.rest {
                [b' ' | b'\n' | b'\t' | b'\r', rest @ ..] => self.rest = rest,
                [first, ..] => return Some(*first),
                [] => return None,
            }
        }
    }

    /// Consumes the next byte that is not white space, if it is `byte`.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        if let (true, [_, rest @ ..]) = (is_next, self.rest) {
            self.rest = rest;
        }
        is_next
    }

    fn value(&mut self, depth: u8) -> Option<()> {
        self.left = self.left.checked_sub(1)?;
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' => {
                let depth = depth.checked_sub(1)?;
                self.object(|checker, _| checker.value(depth))
            }
            b'[' => self.array(depth.checked_sub(1)?),
            b't' => self.literal(b"true"),
            b'f' => self.literal(b"false"),
            b'n' => self.literal(b"null"),
            _ => self.number(),
        }
    }

    /// Calls `each` with the name of each member; it must consume the value.
    fn object(&mut self, mut each: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.take(b'{').then_some(())?;
        if self.take(b'}') {
            return Some(());
        }
        loop {
            let name = self.string()?;
            self.take(b':').then_some(())?;
            each(self, name)?;
            if !self.take(b',') {
                return self.take(b'}').then_some(());
            }
        }
    }

    fn array(&mut self, depth: u8) -> Option<()> {
        self.take(b'[').then_some(())?;
        if self.take(b']') {
            return Some(());
        }
        loop {
            self.value(depth)?;
            if !self.take(b',') {
                return self.take(b']').then_some(());
            }
        }
    }

    fn literal(&mut self, literal: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(literal)?;
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let text = self.rest;
        if let [b'-', rest @ ..] = self.rest {
            self.rest = rest;
        }
        if let [b'0', rest @ ..] = self.rest {
            self.rest = rest;
        } else {
            let digits = self.digits();
            (1..=DIGITS).contains(&digits).then_some(())?;
        }
        if let [b'.', rest @ ..] = self.rest {
            self.rest = rest;
            (self.digits() > 0).then_some(())?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest;
            if let [b'+' | b'-', rest @ ..] = self.rest {
                self.rest = rest;
            }
            self.digits();
            // It may be too large.
            let number = text.get(..text.len().saturating_sub(self.rest.len()))?;
            serde_json::from_slice::<Number>(number).ok()?;
        }
        Some(())
    }

    /// Consumes digits, and returns their number.
    fn digits(&mut self) -> usize {
        let is_digit = |byte: &&u8| byte.is_ascii_digit();
        let digits = self.rest.iter().take_while(is_digit).count();
        self.rest = self.rest.get(digits..).unwrap_or_default();
        digits
    }

    /// The content of a string, with its escapes.
    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"').then_some(())?;
        let end = valid_end(self.rest)?.at;
        let (content, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest.get(1..)?;
        Some(content)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::{
        super::reader::tests::{pieces, values},
        *,
    };

    /// Whether a text is accepted; then serde accepts it, and reads the same members.
    fn is_accepted(text: &str) -> Result<bool, TestCaseError> {
        let mut found = Vec::new();
        let is_accepted = members(text, |name, value| {
            found.push((name, value));
            Some(())
        });
        if is_accepted.is_some() {
            let read: Result<Value, _> = serde_json::from_str(text);
            prop_assert!(matches!(read, Ok(Value::Object(_))), "{read:?}: {text}");
            let mut object = serde_json::Map::new();
            for (name, value) in found {
                let name: Result<String, _> = serde_json::from_str(&format!("\"{name}\""));
                let value: Result<Value, _> = serde_json::from_str(value);
                prop_assert!(name.is_ok() && value.is_ok(), "{name:?} {value:?}: {text}");
                object.insert(name.unwrap_or_default(), value.unwrap_or_default());
            }
            prop_assert_eq!(read.unwrap_or_default(), Value::Object(object), "{}", text);
        }
        Ok(is_accepted.is_some())
    }

    fn in_object(text: &str) -> String {
        format!("{{\"a\":{text}}}")
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_accepted(value in values(), is_pretty in any::<bool>()) {
            let text = if is_pretty { format!("{value:#}\n") } else { value.to_string() };
            prop_assert!(is_accepted(&in_object(&text))?, "{text}");
            prop_assert_eq!(is_accepted(&text)?, value.is_object(), "{}", text);
        }

        #[test]
        fn escaped_text_is_accepted(text in ".*") {
            let units = text.encode_utf16().map(|unit| format!("\\u{unit:04x}"));
            let escaped = in_object(&format!("\"{}\"", units.collect::<String>()));
            prop_assert!(is_accepted(&escaped)?, "{escaped}");
        }

        #[test]
        fn what_serde_rejects_is_not_accepted(text in pieces()) {
            is_accepted(&text)?;
            is_accepted(&in_object(&text))?;
            is_accepted(&in_object(&format!("\"{text}\"")))?;
            is_accepted(&in_object(&format!("[{text}]")))?;
            is_accepted(&format!("{{{text}}}"))?;
        }

        #[test]
        fn numbers_are_judged_as_serde_judges_them(text in "-?[0-9]{0,3}(\\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?") {
            let is_number = serde_json::from_str::<Value>(&text).is_ok();
            prop_assert_eq!(is_accepted(&in_object(&text))?, is_number, "{}", text);
        }

        #[test]
        fn a_broken_text_is_not_accepted(
            value in values(),
            at in any::<prop::sample::Index>(),
            insert in pieces(),
        ) {
            let text = in_object(&value.to_string());
            let at = text.char_indices().nth(at.index(text.chars().count())).map_or(0, |(at, _)| at);
            let (before, after) = text.split_at(at);
            prop_assert!(!is_accepted(before)?, "{before}");
            is_accepted(&format!("{before}{insert}{after}"))?;
            is_accepted(&format!("{before}{}", after.chars().skip(1).collect::<String>()))?;
        }
    }

    #[test]
    fn every_control_character_in_a_string_is_found() {
        for byte in 0..0x20_u8 {
            for at in [0, 1, 63, 64, 127, 128, 300] {
                let mut text = "x".repeat(301);
                text.replace_range(at..=at, &char::from(byte).to_string());
                for body in [
                    in_object(&format!("\"{text}\"")),
                    format!("{{\"{text}\":1}}"),
                    format!("{{\"a\":\"{text}\\n\"}}\n"),
                ] {
                    assert!(!is_accepted(&body).unwrap(), "{byte} at {at}");
                }
            }
        }
    }

    #[test]
    fn limits_are_left_to_serde() {
        let nested =
            |depth: usize| in_object(&format!("{}1{}", "[".repeat(depth), "]".repeat(depth)));
        let deepest = usize::from(DEPTH) - 1;
        assert!(is_accepted(&nested(deepest)).unwrap());
        assert!(!is_accepted(&nested(deepest + 1)).unwrap());

        let digits = |count: usize| in_object(&"9".repeat(count));
        assert!(is_accepted(&digits(DIGITS)).unwrap());
        assert!(!is_accepted(&digits(DIGITS + 1)).unwrap());

        let most = usize::try_from(MAX_VALUES).unwrap();
        let list = |count: usize| in_object(&format!("[{}1]", "1,".repeat(count - 1)));
        // The array is a value, too.
        assert!(members(&list(most - 1), |_, _| Some(())).is_some());
        assert!(members(&list(most), |_, _| Some(())).is_none());
    }
}
