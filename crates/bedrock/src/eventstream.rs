//! `application/vnd.amazon.eventstream` frames out of any run of bytes.
//!
//! The decoder holds what came so far and gives a frame once all of it is there: partial frames wait,
//! sizes are capped, both checksums are checked, and a stream that ends inside a frame is an error.
//! What a frame means is not decided here. Step 6 of a request.
//!
//! Format: u32 total length, u32 length of headers, CRC-32 of these eight bytes, headers, payload,
//! CRC-32 of all before
//! (<https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html> describes it).
#![deny(clippy::arithmetic_side_effects)]

mod scan;

use aws_smithy_eventstream::frame::read_message_from;
use aws_smithy_types::{event_stream::Message, str_bytes::StrBytes};
use bytes::{Bytes, BytesMut};

pub use scan::{Scanner, exception};

/// Lengths and their checksum.
const PRELUDE_BYTES: usize = 12;
/// The prelude and the checksum at the end: no frame is smaller.
const SMALLEST_FRAME_BYTES: usize = 16;

/// Takes bytes as they come and gives whole frames.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    max_frame_bytes: usize,
    /// Set by the first error: what follows a broken frame cannot be trusted.
    broken: bool,
}

/// One message of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What kind of message it is.
    pub message_type: MessageType,
    /// `:event-type`, or `:exception-type`, or `:error-code`, by the kind of message.
    pub event_type: String,
    /// The message's body; for [`MessageType::Error`] the text of `:error-message`.
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

/// Why bytes are not a stream of frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A frame that says it is larger than the cap, or smaller than a frame can be.
    #[error(
        "event-stream frame of {bytes} bytes is outside the {SMALLEST_FRAME_BYTES} to {max} bytes taken"
    )]
    Size {
        /// What the frame says of itself.
        bytes: u32,
        /// The cap.
        max: usize,
    },
    /// The first checksum does not fit the lengths.
    #[error("event-stream prelude has checksum {found:#010x} where {expected:#010x} fits")]
    PreludeChecksum {
        /// Computed.
        expected: u32,
        /// Received.
        found: u32,
    },
    /// A whole frame that does not parse or whose checksum does not fit.
    #[error("event-stream frame does not parse")]
    Malformed(#[source] aws_smithy_eventstream::error::Error),
    /// A frame without the headers that say what it is.
    #[error("event-stream frame has no text header {header:?}")]
    MissingHeader {
        /// Name of the header.
        header: &'static str,
    },
    /// `:message-type` is none of event, exception, error.
    #[error("event-stream message type {0:?} is unknown")]
    UnknownMessageType(String),
    /// The stream ended inside a frame.
    #[error("event stream ended inside a frame: {bytes} bytes of it had come")]
    Truncated {
        /// How much was left over.
        bytes: usize,
    },
    /// A frame before was broken.
    #[error("event stream is broken by an earlier frame")]
    Broken,
}

impl Decoder {
    /// A decoder that refuses frames of more than `max_frame_bytes` before it waits for them.
    pub fn new(max_frame_bytes: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            max_frame_bytes,
            broken: false,
        }
    }

    /// Adds what came from the connection.
    pub fn push(&mut self, bytes: Bytes) {
        if self.buffer.is_empty() {
            // Without a copy when nobody else holds these bytes.
            self.buffer = BytesMut::from(bytes);
        } else {
            self.buffer.extend_from_slice(&bytes);
        }
    }

    /// The next whole frame; `None` until more bytes come.
    ///
    /// # Errors
    /// When the bytes are no frame. From then on each call is [`FrameError::Broken`].
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.broken {
            return Err(FrameError::Broken);
        }
        let result = self.decode();
        self.broken = result.is_err();
        result
    }

    /// The next whole frame, which stays the next one.
    ///
    /// # Errors
    /// When the bytes are no frame.
    pub fn peek(&self) -> Result<Option<Frame>, FrameError> {
        if self.broken {
            return Err(FrameError::Broken);
        }
        let bytes = self.size()?.and_then(|size| self.buffer.get(..size));
        bytes
            .map(|bytes| read(Bytes::copy_from_slice(bytes)))
            .transpose()
    }

    /// What came and was not taken.
    pub fn into_rest(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Whether no part of a frame is waiting for the rest.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// To be called when the connection has no more bytes.
    ///
    /// # Errors
    /// [`FrameError::Truncated`] when part of a frame is left over.
    pub fn finish(self) -> Result<(), FrameError> {
        if self.buffer.is_empty() || self.broken {
            Ok(())
        } else {
            Err(FrameError::Truncated {
                bytes: self.buffer.len(),
            })
        }
    }

    fn decode(&mut self) -> Result<Option<Frame>, FrameError> {
        let Some(size) = self.size()? else {
            return Ok(None);
        };
        read(self.buffer.split_to(size).freeze()).map(Some)
    }

    /// Size of the next frame, once all of it is there.
    fn size(&self) -> Result<Option<usize>, FrameError> {
        let Some(prelude) = self.buffer.get(..PRELUDE_BYTES) else {
            return Ok(None);
        };
        // Checked before the rest is waited for: a broken length would wait for ever.
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
        Ok((self.buffer.len() >= size).then_some(size))
    }
}

fn read(mut bytes: Bytes) -> Result<Frame, FrameError> {
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

/// The first four bytes, big-endian; 0 where there are fewer.
fn first_u32(bytes: &[u8]) -> u32 {
    bytes
        .first_chunk::<4>()
        .map_or(0, |four| u32::from_be_bytes(*four))
}

#[cfg(test)]
mod tests;
