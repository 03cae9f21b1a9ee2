//! Inspects the frames of a stream that the gateway passes through.
//!
//! The scanner accepts chunks of bytes and reports each frame that ends in them. It buffers at most one frame and
//! skips frames above its limit. It does not change or delay the stream. Invalid bytes end the inspection, not
//! the stream.

use bytes::{Bytes, BytesMut};

use super::{Frame, PRELUDE_BYTES, SMALLEST_FRAME_BYTES, crc32, first_u32, read};

/// Inspects one stream.
#[derive(Debug)]
pub struct Scanner {
    /// The prelude of the current frame, or all received bytes of it if it is within the limit.
    held: BytesMut,
    /// Missing bytes of the current frame, once its prelude is complete.
    left: Option<usize>,
    max_held_bytes: usize,
    lost: bool,
}

impl Scanner {
    /// Reports frames of up to `max_held_bytes`.
    pub fn new(max_held_bytes: usize) -> Self {
        Self {
            held: BytesMut::new(),
            left: None,
            max_held_bytes,
            lost: false,
        }
    }

    /// Whether the bytes so far end at the end of a frame.
    pub fn is_between_frames(&self) -> bool {
        !self.lost && self.left.is_none() && self.held.is_empty()
    }

    /// Inspects the next bytes of the stream.
    pub fn scan(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !self.lost && !bytes.is_empty() {
            bytes = match self.left {
                None => self.prelude(bytes),
                Some(left) => {
                    let (now, rest) = bytes.split_at(left.min(bytes.len()));
                    let left = left.saturating_sub(now.len());
                    // The prelude is kept only for frames within the limit.
                    if !self.held.is_empty() {
                        self.held.extend_from_slice(now);
                    }
                    self.left = (left > 0).then_some(left);
                    if left == 0 && !self.held.is_empty() {
                        match read(self.held.split().freeze()) {
                            Ok(frame) => seen(frame),
                            Err(_) => self.lost = true,
                        }
                    }
                    rest
                }
            };
        }
    }

    /// Buffers the prelude and reads it once it is complete.
    fn prelude<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let missing = PRELUDE_BYTES.saturating_sub(self.held.len());
        let (now, rest) = bytes.split_at(missing.min(bytes.len()));
        self.held.extend_from_slice(now);
        if self.held.len() == PRELUDE_BYTES {
            let (lengths, checksum) = self.held.split_at(8);
            let size = usize::try_from(first_u32(lengths)).unwrap_or(usize::MAX);
            if first_u32(checksum) != crc32(lengths) || size < SMALLEST_FRAME_BYTES {
                self.lost = true;
            }
            if size > self.max_held_bytes {
                self.held.clear();
            }
            self.left = Some(size.saturating_sub(PRELUDE_BYTES));
        }
        rest
    }
}

/// An exception frame, to end a stream with.
pub fn exception(name: &str, message: &str) -> Bytes {
    use aws_smithy_eventstream::frame::write_message_to;
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};

    let header = |name: &'static str, value: &str| {
        Header::new(name, HeaderValue::String(value.to_owned().into()))
    };
    let payload = serde_json::json!({ "message": message }).to_string();
    let frame = Message::new(payload)
        .add_header(header(":exception-type", name))
        .add_header(header(":content-type", "application/json"))
        .add_header(header(":message-type", "exception"));
    let mut bytes = BytesMut::new();
    // Fails only for headers that are longer than these can be.
    let _ = write_message_to(&frame, &mut bytes);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::eventstream::MessageType;

    fn stream(messages: &[String]) -> Vec<u8> {
        messages
            .iter()
            .flat_map(|message| exception("throttlingException", message).to_vec())
            .collect()
    }

    fn seen(scanner: &mut Scanner, chunks: &[&[u8]]) -> Vec<Frame> {
        let mut frames = Vec::new();
        for chunk in chunks {
            scanner.scan(chunk, |frame| frames.push(frame));
        }
        frames
    }

    #[test]
    fn written_exception_is_read_back() {
        let mut scanner = Scanner::new(1000);
        let bytes = exception("serviceUnavailableException", "cut off");
        let frames = seen(&mut scanner, &[&bytes]);
        assert_eq!(frames[0].message_type, MessageType::Exception);
        assert_eq!(frames[0].event_type, "serviceUnavailableException");
        assert_eq!(&frames[0].payload[..], b"{\"message\":\"cut off\"}");
        assert!(scanner.is_between_frames());
    }

    #[test]
    fn frame_above_the_limit_is_skipped_and_the_next_one_reported() {
        let long = "x".repeat(2000);
        let bytes = stream(&[long, "short".to_owned()]);
        let mut scanner = Scanner::new(500);
        let chunks: Vec<&[u8]> = bytes.chunks(7).collect();
        let frames = seen(&mut scanner, &chunks);
        assert_eq!(frames.len(), 1);
        assert!(frames[0].payload.ends_with(b"short\"}"));
        assert!(scanner.held.capacity() <= 2000);
    }

    #[test]
    fn invalid_bytes_end_the_inspection() {
        let mut scanner = Scanner::new(1000);
        assert!(seen(&mut scanner, &[b"<html>no event stream</html>"]).is_empty());
        assert!(!scanner.is_between_frames());
    }

    proptest! {
        #[test]
        fn any_chunking_reports_the_same_frames(
            messages in prop::collection::vec("[a-z]{0,40}", 1..6),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
        ) {
            let bytes = stream(&messages);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
            let mut scanner = Scanner::new(1000);
            let frames = seen(&mut scanner, &chunks);
            prop_assert_eq!(frames.len(), messages.len());
            prop_assert!(scanner.is_between_frames());
            for (frame, message) in frames.iter().zip(&messages) {
                let expected = serde_json::json!({ "message": message }).to_string();
                prop_assert_eq!(&frame.payload[..], expected.as_bytes());
            }
        }
    }
}
