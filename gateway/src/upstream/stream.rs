//! The body of a streamed answer as frames. Step 6: the connection feeds the pure decoder.

use bedrock::eventstream::{Decoder, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::error::GatewayError;

/// AWS's own limit is 16 MB a frame.
const MAX_FRAME_BYTES: usize = 16 * 1024 * 1024;

/// Frames as they come.
#[derive(Debug)]
pub(crate) struct Frames {
    body: Incoming,
    decoder: Decoder,
    put_back: Option<Frame>,
    request_id: Option<String>,
}

impl Frames {
    pub(crate) fn new(body: Incoming, request_id: Option<String>) -> Self {
        Self {
            body,
            decoder: Decoder::new(MAX_FRAME_BYTES),
            put_back: None,
            request_id,
        }
    }

    /// AWS's id of the request, which exception frames do not carry.
    pub(crate) fn request_id(&self) -> Option<String> {
        self.request_id.clone()
    }

    /// The next frame that is there already.
    ///
    /// # Errors
    /// When the bytes are no frames.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, GatewayError> {
        if let Some(frame) = self.put_back.take() {
            return Ok(Some(frame));
        }
        self.decoder
            .next_frame()
            .map_err(GatewayError::StreamGarbled)
    }

    /// Makes `frame` the next one.
    pub(crate) fn put_back(&mut self, frame: Frame) {
        self.put_back = Some(frame);
    }

    /// Waits for more bytes; `false` when the stream has ended. Safe to be cancelled.
    ///
    /// # Errors
    /// When the connection broke, or the stream ended inside a frame.
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
}
