//! The stream encoders of Messages, as encoders of the pipeline: Claude's own events, and those of Converse.

use bedrock::{converse::TokenUsage, eventstream::Frame, sse::Event};
use bytes::BytesMut;
use dialects::anthropic::{PassthroughStream, StreamEncoder, StreamEnd};

use crate::{
    http::error::{GatewayError, Result},
    pipeline::{
        converse::{read_event, read_response},
        endpoint,
    },
};

/// Event type of InvokeModelWithResponseStream.
const CHUNK: &str = "chunk";

impl endpoint::StreamEncoder for StreamEncoder {
    fn frame(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<()> {
        let event = read_event(frame)?;
        Self::event(self, &event, out).map_err(|error| GatewayError::Unreadable(error.to_string()))
    }

    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<()> {
        Ok(self.response(&read_response(body)?, out)?)
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        match Self::finish(self, out) {
            StreamEnd::Complete => Ok(()),
            StreamEnd::Truncated => Err(GatewayError::StreamCut),
            StreamEnd::Malformed(error) => Err(GatewayError::Response(error)),
        }
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        Self::error(self, &error.anthropic(request_id), out);
    }

    fn usage(&self) -> Option<TokenUsage> {
        Self::usage(self)
    }
}

impl endpoint::StreamEncoder for PassthroughStream {
    fn frame(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<()> {
        if frame.event_type == CHUNK {
            self.chunk(&frame.payload, out)?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event, out: &mut BytesMut) -> Result<()> {
        // A comment; the pipeline sends keep-alives itself.
        if event.data.is_empty() {
            return Ok(());
        }
        Ok(Self::event(self, &event.data, out)?)
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        if Self::finish(self, out) {
            Ok(())
        } else {
            Err(GatewayError::StreamCut)
        }
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        Self::error(self, &error.anthropic(request_id), out);
    }

    fn usage(&self) -> Option<TokenUsage> {
        Self::usage(self)
    }
}
