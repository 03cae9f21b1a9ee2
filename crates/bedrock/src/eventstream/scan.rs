//! Looks at the frames of a stream that is passed on as it comes.
//!
//! Takes any run of bytes and shows each frame that ended in it, holding no more than one frame and none
//! above its cap: longer ones are only counted past. Bytes are not changed, delayed or kept for the stream's
//! sake. Bytes that are no frames end the looking, not the stream.

use bytes::{Bytes, BytesMut};

use super::{Frame, PRELUDE_BYTES, SMALLEST_FRAME_BYTES, crc32, first_u32, read};

/// Follows a stream.
#[derive(Debug)]
pub struct Scanner {
    /// The beginning of the current frame: its prelude, or all that came of it when it is within the cap.
    held: BytesMut,
    /// Bytes of the current frame that are still to come, once its prelude is there.
    left: Option<usize>,
    max_held_bytes: usize,
    lost: bool,
}

impl Scanner {
    /// Shows frames of up to `max_held_bytes`.
    pub fn new(max_held_bytes: usize) -> Self {
        Self {
            held: BytesMut::new(),
            left: None,
            max_held_bytes,
            lost: false,
        }
    }

    /// Whether the bytes so far end where a frame ends.
    pub fn is_between_frames(&self) -> bool {
        !self.lost && self.left.is_none() && self.held.is_empty()
    }

    /// Looks at the next bytes of the stream.
    pub fn scan(&mut self, mut bytes: &[u8], mut seen: impl FnMut(Frame)) {
        while !self.lost && !bytes.is_empty() {
            bytes = match self.left {
                None => self.prelude(bytes),
                Some(left) => {
                    let (now, rest) = bytes.split_at(left.min(bytes.len()));
                    let left = left.saturating_sub(now.len());
                    // Within the cap when the prelude was kept.
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

    /// Takes what belongs to the prelude and reads it once it is whole.
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

/// An exception as the last frame of a stream.
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
    // Fails for headers of a length that these cannot have.
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
    fn exception_that_is_written_is_one_that_is_read() {
        let mut scanner = Scanner::new(1000);
        let bytes = exception("serviceUnavailableException", "cut off");
        let frames = seen(&mut scanner, &[&bytes]);
        assert_eq!(frames[0].message_type, MessageType::Exception);
        assert_eq!(frames[0].event_type, "serviceUnavailableException");
        assert_eq!(&frames[0].payload[..], b"{\"message\":\"cut off\"}");
        assert!(scanner.is_between_frames());
    }

    #[test]
    fn frame_above_the_cap_is_passed_over_and_the_next_one_seen() {
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
    fn bytes_that_are_no_frames_end_the_looking() {
        let mut scanner = Scanner::new(1000);
        assert!(seen(&mut scanner, &[b"<html>no event stream</html>"]).is_empty());
        assert!(!scanner.is_between_frames());
    }

    proptest! {
        #[test]
        fn any_chunking_shows_the_same_frames(
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
