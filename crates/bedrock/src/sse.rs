//! Decodes server-sent events from chunks of bytes, as Bedrock's OpenAI and Anthropic endpoints stream them.
//!
//! Like [`crate::eventstream`], the decoder buffers incomplete events and limits their size. Each event keeps its raw
//! bytes; the concatenated events are the stream. The decoder does not interpret events.
//! Format: <https://html.spec.whatwg.org/multipage/server-sent-events.html>.
#![deny(clippy::arithmetic_side_effects)]

use bytes::{Buf, Bytes, BytesMut};

/// Accepts chunks of bytes and returns complete events.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    max_event_bytes: usize,
    /// Bytes of the buffer already searched for the end of an event.
    searched: usize,
}

/// One event, or a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The raw bytes, including the blank line at the end.
    pub raw: Bytes,
    /// `event:`; empty if absent.
    pub name: Bytes,
    /// `data:`, with its lines joined; empty for a comment.
    pub data: Bytes,
}

/// An event is longer than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("server-sent event is longer than {max} bytes")]
pub struct EventTooLong {
    /// The limit.
    pub max: usize,
}

impl Decoder {
    /// A decoder that buffers at most `max_event_bytes` of one event.
    pub fn new(max_event_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max_event_bytes,
            searched: 0,
        }
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::from(bytes);
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// The next complete event; `None` if more bytes are needed.
    ///
    /// # Errors
    /// When an event is longer than the limit.
    pub fn next_event(&mut self) -> Result<Option<Event>, EventTooLong> {
        let Some(end) = self.end()? else {
            return Ok(None);
        };
        self.searched = 0;
        Ok(Some(Event::read(self.buffer.split_to(end).freeze())))
    }

    /// The next complete event, without consuming it.
    ///
    /// # Errors
    /// When an event is longer than the limit.
    pub fn peek(&mut self) -> Result<Option<Event>, EventTooLong> {
        let end = self.end()?;
        let bytes = end.and_then(|end| self.buffer.get(..end));
        Ok(bytes.map(|bytes| Event::read(Bytes::copy_from_slice(bytes))))
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// The bytes that were received and not consumed.
    pub fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// The end of the first event.
    fn end(&mut self) -> Result<Option<usize>, EventTooLong> {
        // A blank line may start in the bytes already searched.
        let from = self.searched.saturating_sub(3);
        let rest = self.buffer.get(from..).unwrap_or_default();
        let end = blank_line(rest).map(|at| from.saturating_add(at));
        if end.unwrap_or(self.buffer.len()) > self.max_event_bytes {
            return Err(EventTooLong {
                max: self.max_event_bytes,
            });
        }
        if end.is_none() {
            self.searched = self.buffer.len();
        }
        Ok(end)
    }
}

impl Event {
    fn read(raw: Bytes) -> Self {
        let mut name = Bytes::new();
        let mut data: Vec<Bytes> = Vec::new();
        let mut rest = raw.clone();
        while rest.has_remaining() {
            let line = next_line(&mut rest);
            if let Some(value) = field(&line, b"data") {
                data.push(value);
            } else if let Some(value) = field(&line, b"event") {
                name = value;
            }
        }
        let data = match <[Bytes; 1]>::try_from(data) {
            Ok([line]) => line,
            Err(lines) => lines.join(&b'\n').into(),
        };
        Self { raw, name, data }
    }

    /// `event:` as text; empty if absent or not UTF-8.
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }
}

/// The position after the first blank line.
fn blank_line(bytes: &[u8]) -> Option<usize> {
    let mut from = 0_usize;
    while let Some(at) = bytes.get(from..)?.iter().position(|byte| *byte == b'\n') {
        let next = from.saturating_add(at).saturating_add(1);
        match bytes.get(next..)? {
            [b'\n', ..] => return Some(next.saturating_add(1)),
            [b'\r', b'\n', ..] => return Some(next.saturating_add(2)),
            _ => from = next,
        }
    }
    None
}

/// Removes the first line and returns it without its line break.
fn next_line(bytes: &mut Bytes) -> Bytes {
    let at = bytes.iter().position(|byte| *byte == b'\n');
    let mut line = bytes.split_to(at.unwrap_or(bytes.len()));
    if at.is_some() {
        bytes.advance(1);
    }
    if line.last() == Some(&b'\r') {
        line.truncate(line.len().saturating_sub(1));
    }
    line
}

/// The value of a line with this field.
fn field(line: &Bytes, name: &[u8]) -> Option<Bytes> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(line.slice_ref(value.strip_prefix(b" ").unwrap_or(value)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(chunks: &[&[u8]]) -> Vec<Event> {
        let mut decoder = Decoder::new(1000);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(Bytes::copy_from_slice(chunk));
            while let Some(event) = decoder.next_event().unwrap() {
                events.push(event);
            }
        }
        events
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let events = all(&[text.as_bytes()]);
        let got: Vec<(&str, &str)> = events
            .iter()
            .map(|event| (event.name(), std::str::from_utf8(&event.data).unwrap()))
            .collect();
        assert_eq!(got, expected, "{text:?}");
    }

    #[test]
    fn names_and_data_follow_the_specification() {
        check(
            "data: {\"a\":1}\n\ndata: [DONE]\n\n",
            &[("", "{\"a\":1}"), ("", "[DONE]")],
        );
        check(
            "event: message_start\ndata:x\n\n",
            &[("message_start", "x")],
        );
        check(
            "event: e\r\ndata: x\r\n\r\n: ping\r\n\r\n",
            &[("e", "x"), ("", "")],
        );
        check("data: a\ndata:  b\nid: 3\n\n", &[("", "a\n b")]);
        check("data: not yet at its end\n", &[]);
    }

    #[test]
    fn event_without_an_end_is_rejected_at_the_limit() {
        let mut decoder = Decoder::new(16);
        decoder.push(Bytes::from_static(b"data: 0123456789"));
        assert_eq!(decoder.next_event(), Ok(None));
        decoder.push(Bytes::from_static(b"0"));
        assert_eq!(decoder.next_event(), Err(EventTooLong { max: 16 }));
    }

    #[test]
    fn peek_consumes_nothing() {
        let mut decoder = Decoder::new(1000);
        decoder.push(Bytes::from_static(b"data: x\n\ndata: y"));
        let first = decoder.peek().unwrap();
        assert_eq!(decoder.next_event().unwrap(), first);
        assert_eq!(decoder.peek(), Ok(None));
        assert_eq!(&decoder.into_rest()[..], b"data: y");
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same_events_and_loses_no_byte(
            text in "(event: [a-z]{1,3}(\r)?\n)?(data: [a-z]{0,8}(\r)?\n|(\r)?\n){1,12}",
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let bytes = text.as_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let events = all(&chunks);
            prop_assert_eq!(&events, &all(&[bytes]));
            let raw: Vec<u8> = events.iter().flat_map(|event| event.raw.to_vec()).collect();
            prop_assert!(bytes.starts_with(&raw));
        }
    }
}
