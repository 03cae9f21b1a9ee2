//! The line of a record: a JSON object, written member by member. A serializer takes five times as long, since it checks each
//! byte of names and values on its own.

use std::{fmt::Display, io::Write as _};

use serde::Serialize;

/// The name of a member as it is written. Names need no escapes.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use name;

/// A JSON object that is not complete.
#[derive(Debug)]
pub(super) struct Line(Vec<u8>);

impl Line {
    /// An object without members, with room for some bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        let mut line = Vec::with_capacity(bytes);
        line.push(b'{');
        Self(line)
    }

    /// Begins a member with a name of `name!`.
    fn member(&mut self, name: &'static str) {
        let is_first = matches!(self.0.last(), Some(b'{'));
        let name = name.as_bytes().get(usize::from(is_first)..);
        self.0.extend_from_slice(name.unwrap_or_default());
    }

    pub(super) fn text(&mut self, name: &'static str, value: &str) {
        self.member(name);
        // Without an early end, so that the compiler uses vectors.
        let is_plain = value.bytes().fold(true, |all, byte| all & is_plain(byte));
        if is_plain {
            self.0.reserve(value.len().saturating_add(2));
            self.0.push(b'"');
            self.0.extend_from_slice(value.as_bytes());
            self.0.push(b'"');
        } else {
            self.write(value);
        }
    }

    /// A text, if present.
    pub(super) fn some_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A text that needs no escapes.
    pub(super) fn plain(&mut self, name: &'static str, value: impl Display) {
        self.member(name);
        // Writing into memory cannot fail.
        let _ = write!(self.0, "\"{value}\"");
    }

    pub(super) fn number(&mut self, name: &'static str, value: u64) {
        self.member(name);
        let mut digits = itoa::Buffer::new();
        self.0.extend_from_slice(digits.format(value).as_bytes());
    }

    pub(super) fn some_number(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    pub(super) fn flag(&mut self, name: &'static str, value: bool) {
        self.member(name);
        let value: &[u8] = if value { b"true" } else { b"false" };
        self.0.extend_from_slice(value);
    }

    pub(super) fn null(&mut self, name: &'static str) {
        self.member(name);
        self.0.extend_from_slice(b"null");
    }

    /// Any value.
    pub(super) fn value(&mut self, name: &'static str, value: &impl Serialize) {
        self.member(name);
        self.write(value);
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Texts and JSON values can be written, and writing into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    /// An object with the members that `write` adds.
    pub(super) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        self.member(name);
        self.0.push(b'{');
        write(self);
        self.0.push(b'}');
    }

    /// An array of objects with the members that `write` adds for each item.
    pub(super) fn objects<T>(
        &mut self,
        name: &'static str,
        items: &[T],
        write: impl Fn(&mut Self, &T),
    ) {
        self.member(name);
        self.0.push(b'[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.0.push(b',');
            }
            self.0.push(b'{');
            write(self, item);
            self.0.push(b'}');
        }
        self.0.push(b']');
    }

    /// The complete object, with a line break.
    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(b"}\n");
        self.0
    }
}

/// Whether a byte of a text needs no escape.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn a_parser_reads_what_was_written(text in any::<String>(), controls in "[\\x00-\\x20\"\\\\a]{0,8}", number in any::<u64>()) {
            let mut line = Line::with_capacity(0);
            line.text(name!("text"), &text);
            line.object(name!("object"), |line| {
                line.text(name!("controls"), &controls);
                line.number(name!("number"), number);
            });
            line.objects(name!("items"), &[number, 1], |line, item| line.number(name!("item"), *item));
            line.objects(name!("none"), &[], |line, item: &u64| line.number(name!("item"), *item));
            line.flag(name!("flag"), number > 1);
            line.plain(name!("plain"), std::net::Ipv6Addr::LOCALHOST);
            line.value(name!("value"), &json!([text]));
            line.null(name!("null"));
            let line = line.end();
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            let read: Value = serde_json::from_slice(&line).unwrap();
            prop_assert_eq!(read, json!({
                "text": text, "object": {"controls": controls, "number": number},
                "items": [{"item": number}, {"item": 1}], "none": [], "flag": number > 1, "plain": "::1",
                "value": [text], "null": null,
            }));
        }
    }
}
