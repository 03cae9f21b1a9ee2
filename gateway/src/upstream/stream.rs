//! The body of a streamed answer, piece by piece or byte by byte. Step 6: the connection feeds a pure decoder.

use bedrock::{eventstream, sse};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::http::error::GatewayError;

/// AWS's own limit is 16 MB a frame.
pub(super) const MAX_PIECE_BYTES: usize = 16 * 1024 * 1024;

/// A decoder that takes bytes and gives pieces.
pub(crate) trait Decode {
    type Piece;

    fn push(&mut self, bytes: Bytes);
    /// The next whole piece.
    fn next(&mut self) -> Result<Option<Self::Piece>, GatewayError>;
    /// The next whole piece, which stays the next one.
    fn peek(&mut self) -> Result<Option<Self::Piece>, GatewayError>;
    fn is_empty(&self) -> bool;
    /// What came and was not taken.
    fn into_rest(self) -> Bytes;
}

/// Pieces as they come.
#[derive(Debug)]
pub(crate) struct Pieces<D> {
    body: Incoming,
    decoder: D,
    request_id: Option<String>,
}

/// Frames of an event stream.
pub(crate) type Frames = Pieces<eventstream::Decoder>;
/// Server-sent events.
pub(crate) type Events = Pieces<sse::Decoder>;

/// The bytes of a stream, unread.
#[derive(Debug)]
pub(crate) struct Raw {
    /// What had come before.
    rest: Bytes,
    body: Incoming,
}

impl<D: Decode> Pieces<D> {
    pub(super) fn new(body: Incoming, decoder: D, request_id: Option<String>) -> Self {
        Self {
            body,
            decoder,
            request_id,
        }
    }

    /// AWS's id of the request, which exceptions in a stream do not carry.
    pub(crate) fn request_id(&self) -> Option<String> {
        self.request_id.clone()
    }

    /// The next piece that is there already.
    ///
    /// # Errors
    /// When the bytes are not of this format.
    pub(crate) fn buffered(&mut self) -> Result<Option<D::Piece>, GatewayError> {
        self.decoder.next()
    }

    /// Waits for more bytes; `false` when the stream has ended. Safe to be cancelled.
    ///
    /// # Errors
    /// When the connection broke, or the stream ended inside a piece.
    pub(crate) async fn fill(&mut self) -> Result<bool, GatewayError> {
        match self.body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.decoder.push(data);
                }
                Ok(true)
            }
            None if self.decoder.is_empty() => Ok(false),
            Some(Err(_)) | None => Err(GatewayError::StreamCut),
        }
    }

    /// Waits for the first piece, which stays the next one.
    ///
    /// # Errors
    /// When none comes.
    pub(super) async fn first(&mut self) -> Result<D::Piece, GatewayError> {
        loop {
            if let Some(piece) = self.decoder.peek()? {
                return Ok(piece);
            }
            if !self.fill().await? {
                return Err(GatewayError::StreamCut);
            }
        }
    }

    /// The same stream as bytes, from the first that no piece was taken of.
    pub(crate) fn into_raw(self) -> Raw {
        Raw {
            rest: self.decoder.into_rest(),
            body: self.body,
        }
    }
}

impl Raw {
    /// The next bytes; none at the end. Safe to be cancelled.
    ///
    /// # Errors
    /// When the connection broke.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, GatewayError> {
        if !self.rest.is_empty() {
            return Ok(Some(std::mem::take(&mut self.rest)));
        }
        loop {
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
                Some(Err(_)) => return Err(GatewayError::StreamCut),
                None => return Ok(None),
            }
        }
    }
}

impl Decode for eventstream::Decoder {
    type Piece = eventstream::Frame;

    fn push(&mut self, bytes: Bytes) {
        Self::push(self, bytes);
    }

    fn next(&mut self) -> Result<Option<Self::Piece>, GatewayError> {
        self.next_frame().map_err(GatewayError::StreamGarbled)
    }

    fn peek(&mut self) -> Result<Option<Self::Piece>, GatewayError> {
        Self::peek(self).map_err(GatewayError::StreamGarbled)
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }

    fn into_rest(self) -> Bytes {
        Self::into_rest(self)
    }
}

impl Decode for sse::Decoder {
    type Piece = sse::Event;

    fn push(&mut self, bytes: Bytes) {
        Self::push(self, bytes);
    }

    fn next(&mut self) -> Result<Option<Self::Piece>, GatewayError> {
        self.next_event()
            .map_err(|error| GatewayError::Unreadable(error.to_string()))
    }

    fn peek(&mut self) -> Result<Option<Self::Piece>, GatewayError> {
        Self::peek(self).map_err(|error| GatewayError::Unreadable(error.to_string()))
    }

    fn is_empty(&self) -> bool {
        Self::is_empty(self)
    }

    fn into_rest(self) -> Bytes {
        Self::into_rest(self)
    }
}
