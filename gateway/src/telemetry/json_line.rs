//! A line of a log: a JSON object, written member by member. A serializer takes several times as long, since it checks each
//! byte of names and values on its own.

use std::{cell::Cell, fmt, io::Write as _, mem, net::IpAddr};

use serde::Serialize;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Bytes of a usual line.
const USUAL_BYTES: usize = 1024;
/// Bytes of a buffer that is kept.
const KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    /// The buffer of the last line of this thread.
    static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// The name of a member as it is written. Names need no escapes.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(crate) use name;

/// A JSON object that is not complete.
#[derive(Debug)]
pub(crate) struct Line(Vec<u8>);

impl Line {
    /// An object without members.
    pub(crate) fn new() -> Self {
        // A thread that ends has none.
        let mut line = BUFFER.try_with(Cell::take).unwrap_or_default();
        line.clear();
        line.reserve(USUAL_BYTES);
        line.push(b'{');
        Self(line)
    }

    /// Begins a member with a name of `name!`.
    fn member(&mut self, name: &'static str) {
        let is_first = matches!(self.0.last(), Some(b'{'));
        let name = name.as_bytes().get(usize::from(is_first)..);
        self.0.extend_from_slice(name.unwrap_or_default());
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        self.member(name);
        if is_plain(value.as_bytes()) {
            self.quoted(value);
        } else {
            self.write(value);
        }
    }

    fn quoted(&mut self, plain: &str) {
        self.0.reserve(plain.len().saturating_add(2));
        self.0.push(b'"');
        self.0.extend_from_slice(plain.as_bytes());
        self.0.push(b'"');
    }

    /// A text, if present.
    pub(crate) fn some_text(&mut self, name: &'static str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A word of this program, which needs no escapes.
    pub(crate) fn word(&mut self, name: &'static str, word: &'static str) {
        self.member(name);
        self.quoted(word);
    }

    /// An IP address.
    pub(crate) fn address(&mut self, name: &'static str, address: IpAddr) {
        self.member(name);
        match address {
            // A formatter takes several times as long.
            IpAddr::V4(address) => {
                let mut before = b'"';
                for part in address.octets() {
                    self.0.push(before);
                    let mut digits = itoa::Buffer::new();
                    self.0.extend_from_slice(digits.format(part).as_bytes());
                    before = b'.';
                }
                self.0.push(b'"');
            }
            IpAddr::V6(address) => {
                // Writing into memory cannot fail.
                let _ = write!(self.0, "\"{address}\"");
            }
        }
    }

    /// A time as RFC 3339 defines it.
    pub(crate) fn time(&mut self, name: &'static str, time: OffsetDateTime) {
        self.member(name);
        self.0.push(b'"');
        // Fails only beyond the year 9999.
        let _ = time.format_into(&mut self.0, &Rfc3339);
        self.0.push(b'"');
    }

    /// Bytes as hexadecimal digits.
    pub(crate) fn hex(&mut self, name: &'static str, bytes: &[u8]) {
        self.member(name);
        self.0.push(b'"');
        let start = self.0.len();
        let digits = bytes.len().saturating_mul(2);
        self.0.resize(start.saturating_add(digits), b'0');
        // Two digits for each byte.
        let _ = hex::encode_to_slice(bytes, self.0.get_mut(start..).unwrap_or_default());
        self.0.push(b'"');
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        self.member(name);
        let mut digits = itoa::Buffer::new();
        self.0.extend_from_slice(digits.format(value).as_bytes());
    }

    pub(crate) fn some_number(&mut self, name: &'static str, value: Option<u64>) {
        if let Some(value) = value {
            self.number(name, value);
        }
    }

    pub(crate) fn flag(&mut self, name: &'static str, value: bool) {
        self.member(name);
        let value: &[u8] = if value { b"true" } else { b"false" };
        self.0.extend_from_slice(value);
    }

    pub(crate) fn null(&mut self, name: &'static str) {
        self.member(name);
        self.0.extend_from_slice(b"null");
    }

    /// A text without characters that need escapes, as it is displayed.
    pub(crate) fn plain(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        self.member(name);
        self.0.push(b'"');
        write(self);
        self.0.push(b'"');
    }

    /// Any value.
    pub(crate) fn value(&mut self, name: &'static str, value: &impl Serialize) {
        self.member(name);
        self.write(value);
    }

    fn write<T: Serialize + ?Sized>(&mut self, value: &T) {
        // Texts and JSON values can be written, and writing into memory cannot fail.
        let _ = serde_json::to_writer(&mut self.0, value);
    }

    /// An object with the members that `write` adds.
    pub(crate) fn object(&mut self, name: &'static str, write: impl FnOnce(&mut Self)) {
        self.member(name);
        self.0.push(b'{');
        write(self);
        self.0.push(b'}');
    }

    /// An array of objects with the members that `write` adds for each item.
    pub(crate) fn objects<T>(
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
    pub(crate) fn end(&mut self) -> &[u8] {
        self.0.extend_from_slice(b"}\n");
        &self.0
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.0.capacity() <= KEPT_BYTES {
            let line = mem::take(&mut self.0);
            // A thread that ends keeps none.
            let _ = BUFFER.try_with(|buffer| buffer.set(line));
        }
    }
}

impl fmt::Write for Line {
    /// Appends text to a value that is being written.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Whether a text needs no escapes.
fn is_plain(text: &[u8]) -> bool {
    let (words, rest) = text.as_chunks();
    // A text of more than a word has a last word, which may overlap the one before.
    let is_rest_plain = match text.last_chunk() {
        Some(last) => is_plain_word(*last),
        None => rest
            .iter()
            .all(|byte| *byte >= b' ' && *byte != b'"' && *byte != b'\\'),
    };
    is_rest_plain && words.iter().all(|word| is_plain_word(*word))
}

/// Whether eight bytes need no escapes: none is a quote, a backslash or below a space. The highest bit of a byte of `less` is set if the
/// byte is less than a limit; a carry can set that of a byte above such a byte, but no other.
fn is_plain_word(word: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = u64::from_ne_bytes([0x80; 8]);
    let word = u64::from_ne_bytes(word);
    let less =
        |word: u64, limit: u8| word.wrapping_sub(EACH.wrapping_mul(u64::from(limit))) & !word;
    let equal = |byte: u8| less(word ^ EACH.wrapping_mul(u64::from(byte)), 1);
    (less(word, b' ') | equal(b'"') | equal(b'\\')) & HIGHEST == 0
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    proptest! {
        #[test]
        fn a_parser_reads_what_was_written(text in any::<String>(), controls in "[\\x00-\\x20\"\\\\a]{0,8}", number in any::<u64>(), four in any::<Ipv4Addr>()) {
            let mut line = Line::new();
            line.text(name!("text"), &text);
            line.object(name!("object"), |line| {
                line.text(name!("controls"), &controls);
                line.number(name!("number"), number);
            });
            line.objects(name!("items"), &[number, 1], |line, item| line.number(name!("item"), *item));
            line.objects(name!("none"), &[], |line, item: &u64| line.number(name!("item"), *item));
            line.flag(name!("flag"), number > 1);
            line.address(name!("six"), Ipv6Addr::LOCALHOST.into());
            line.address(name!("four"), four.into());
            line.word(name!("word"), "abandoned");
            line.value(name!("value"), &json!([text]));
            line.null(name!("null"));
            line.hex(name!("hex"), &number.to_be_bytes());
            line.time(name!("time"), OffsetDateTime::UNIX_EPOCH);
            let line = line.end();
            prop_assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1));
            let read: Value = serde_json::from_slice(line).unwrap();
            prop_assert_eq!(read, json!({
                "text": text, "object": {"controls": controls, "number": number},
                "items": [{"item": number}, {"item": 1}], "none": [], "flag": number > 1, "six": "::1", "four": four.to_string(), "word": "abandoned",
                "value": [text], "null": null, "hex": format!("{number:016x}"), "time": "1970-01-01T00:00:00Z",
            }));
        }
    }
}
