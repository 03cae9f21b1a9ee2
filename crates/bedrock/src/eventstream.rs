//! Decodes `application/vnd.amazon.eventstream` frames from chunks of bytes.
//!
//! The decoder buffers bytes until a frame is complete. It limits the size of frames, verifies both checksums,
//! and reports a stream that ends inside a frame as an error. It does not interpret frames.
//!
//! Format: total length (u32), length of the headers (u32), CRC-32 of these eight bytes, headers, payload, CRC-32
//! of everything before
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html>).
#![deny(clippy::arithmetic_side_effects)]

mod plain;
mod scan;

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::{event_stream::Message, str_bytes::StrBytes};
use bytes::{Bytes, BytesMut};

pub use scan::{Scanner, exception};

/// Size of the two lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// Size of the prelude and the final checksum, the smallest frame.
const SMALLEST_FRAME_BYTES: usize = 16;

/// Accepts chunks of bytes and returns complete frames.
#[derive(Debug)]
pub struct Decoder {
    /// The rest of a chunk, as it was received: most chunks hold complete frames.
    chunk: Bytes,
    /// The beginning of a frame that spans chunks, and what follows it; empty while `chunk` is not.
    buffer: BytesMut,
    max_frame_bytes: usize,
    /// Set by the first error; nothing after a broken frame is decoded.
    broken: bool,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The kind of message.
    pub message_type: MessageType,
    /// `:event-type`, `:exception-type` or `:error-code`, depending on the kind of message.
    pub event_type: String,
    /// The body of the message; for [`MessageType::Error`] the text of `:error-message`.
    pub payload: Bytes,
}

/// `:message-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    /// An event of the service's model.
    Event,
    /// An exception of the service's model, the last message of its stream.
    Exception,
    /// An error outside the model, the last message of its stream.
    Error,
}

/// Errors of decoding.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length of a frame is outside the limits.
    #[error(
        "event-stream frame of {bytes} bytes is outside the limits of {SMALLEST_FRAME_BYTES} to {max} bytes"
    )]
    Size {
        /// Length in the frame's prelude.
        bytes: u32,
        /// The upper limit.
        max: usize,
    },
    /// The checksum of the prelude does not match.
    #[error("event-stream prelude has checksum {found:#010x}, expected {expected:#010x}")]
    PreludeChecksum {
        /// Computed.
        expected: u32,
        /// Received.
        found: u32,
    },
    /// A complete frame does not parse, or its checksum does not match.
    #[error("invalid event-stream frame")]
    Malformed(#[source] aws_smithy_eventstream::error::Error),
    /// A frame lacks a required header.
    #[error("event-stream frame has no string header {header:?}")]
    MissingHeader {
        /// Name of the header.
        header: &'static str,
    },
    /// `:message-type` is not event, exception or error.
    #[error("unknown event-stream message type {0:?}")]
    UnknownMessageType(String),
    /// The stream ended inside a frame.
    #[error("event stream ended inside a frame, after {bytes} bytes of it")]
    Truncated {
        /// Bytes received of the incomplete frame.
        bytes: usize,
    },
    /// An earlier frame was invalid.
    #[error("an earlier frame of the event stream was invalid")]
    Broken,
}

impl Decoder {
    /// A decoder that rejects frames of more than `max_frame_bytes` as soon as their length is known.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            chunk: Bytes::new(),
            buffer: BytesMut::new(),
            max_frame_bytes,
            broken: false,
        }
    }

    /// Adds received bytes.
    pub fn push(&mut self, bytes: Bytes) {
        if self.is_empty() {
            self.chunk = bytes;
        } else {
            self.buffer
                .extend_from_slice(&std::mem::take(&mut self.chunk));
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// The bytes that were received and not consumed.
    fn received(&self) -> &[u8] {
        if self.chunk.is_empty() {
            &self.buffer
        } else {
            &self.chunk
        }
    }

    /// The next complete frame; `None` if more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are not a valid frame. Every later call returns [`FrameError::Broken`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.broken {
            return Err(FrameError::Broken);
        }
        let result = self.decode();
        self.broken = result.is_err();
        result
    }

    /// The next complete frame, without consuming it.
    ///
    /// # Errors
    /// When the bytes are not a valid frame.
    pub fn peek(&self) -> Result<Option<Frame>, FrameError> {
        if self.broken {
            return Err(FrameError::Broken);
        }
        let bytes = self.size()?.and_then(|size| self.received().get(..size));
        bytes
            .map(|bytes| read(Bytes::copy_from_slice(bytes)))
            .transpose()
    }

    /// The bytes that were received and not consumed.
    pub fn into_rest(self) -> Bytes {
        if self.chunk.is_empty() {
            self.buffer.freeze()
        } else {
            self.chunk
        }
    }

    /// Whether the buffer is empty.
    pub fn is_empty(&self) -> bool {
        self.received().is_empty()
    }

    /// Call this when the connection is at its end.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] if the buffer holds an incomplete frame.
    pub fn finish(self) -> Result<(), FrameError> {
        if self.is_empty() || self.broken {
            Ok(())
        } else {
            Err(FrameError::Truncated {
                bytes: self.received().len(),
            })
        }
    }

    fn decode(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(size) = self.size()? else {
            return Ok(None);
        };
        let frame = if self.chunk.is_empty() {
            self.buffer.split_to(size).freeze()
        } else {
            self.chunk.split_to(size)
        };
        read(frame).map(Some)
    }

    /// Size of the next frame, if it is complete.
    fn size(&self) -> Result<Option<usize>, FrameError> {
        let Some(prelude) = self.received().get(..PRELUDE_BYTES) else {
            return Ok(None);
        };
        // Checked first: with an invalid length the decoder would wait forever.
        let (lengths, checksum) = prelude.split_at(8);
        let found = first_u32(checksum);
        let expected = crc32(lengths);
        if found != expected {
            return Err(FrameError::PreludeChecksum { expected, found });
        }
        let total = first_u32(lengths);
        let size = usize::try_from(total).unwrap_or(usize::MAX);
        if !(SMALLEST_FRAME_BYTES..=self.max_frame_bytes).contains(&size) {
            return Err(FrameError::Size {
                bytes: total,
                max: self.max_frame_bytes,
            });
        }
        Ok((self.received().len() >= size).then_some(size))
    }
}

fn read(mut bytes: Bytes) -> Result<Frame, FrameError> {
    if let Some(frame) = plain::event(&bytes) {
        return Ok(frame);
    }
    let message = read_message_from(&mut bytes).map_err(FrameError::Malformed)?;
    Frame::try_from(&message)
}

impl TryFrom<&Message> for Frame {
    type Error = FrameError;

    fn try_from(message: &Message) -> Result<Self, FrameError> {
        let header = |name: &'static str| {
            message
                .headers()
                .iter()
                .find(|header| header.name().as_str() == name)
                .and_then(|header| header.value().as_string().ok())
                .map(StrBytes::as_str)
                .ok_or(FrameError::MissingHeader { header: name })
        };
        let (message_type, event_type) = match header(":message-type")? {
            "event" => (MessageType::Event, header(":event-type")?),
            "exception" => (MessageType::Exception, header(":exception-type")?),
            "error" => (MessageType::Error, header(":error-code")?),
            other => return Err(FrameError::UnknownMessageType(other.to_owned())),
        };
        let payload = match message_type {
            MessageType::Event | MessageType::Exception => message.payload().clone(),
            MessageType::Error => {
                Bytes::copy_from_slice(header(":error-message").unwrap_or_default().as_bytes())
            }
        };
        Ok(Self {
            message_type,
            event_type: event_type.to_owned(),
            payload,
        })
    }
}

fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// The first four bytes, big-endian; 0 if there are fewer.
fn first_u32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests;
