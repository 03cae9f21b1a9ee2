//! Messages on their way back: answers and events of Claude as they come, or those of Converse encoded.

use bedrock::{converse::TokenUsage, eventstream::Frame, sse::Event};
use bytes::{Bytes, BytesMut};
use dialects::anthropic::{
    PassthroughStream, ResponseIdentity, StreamEncoder, StreamEnd, encode_response, usage_of,
};

use super::Way;
use crate::{
    http::error::GatewayError,
    pipeline::{
        driver::{read_answer, read_event},
        record::Account,
        stream::{Dialect, Encode},
    },
};

/// Name of the frames of InvokeModelWithResponseStream.
const CHUNK: &str = "chunk";

/// Messages on their way back.
pub(super) struct Messages {
    pub(super) identity: ResponseIdentity,
}

impl Dialect for Messages {
    type Context = Way;

    fn whole(&self, way: Way, body: Bytes, account: &mut Account) -> Result<Bytes, GatewayError> {
        match way {
            Way::Passthrough => {
                if let Some(usage) = usage_of(&body) {
                    account.used(usage);
                }
                Ok(body)
            }
            Way::Converse(reply) => {
                let answer = read_answer(&body)?;
                account.used(answer.usage);
                Ok(encode_response(&answer, &reply, &self.identity)?
                    .body
                    .into())
            }
        }
    }

    fn encoder(&self, context: Way) -> Box<dyn Encode> {
        match context {
            Way::Passthrough => Box::new(PassthroughStream::default()),
            Way::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn refuse(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        PassthroughStream::default().error(&error.anthropic(request_id), out);
    }

    fn ping(&self) -> Bytes {
        Bytes::from_static(b"event: ping\ndata: {\"type\": \"ping\"}\n\n")
    }
}

impl Encode for StreamEncoder {
    fn event(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), GatewayError> {
        let event = read_event(frame)?;
        Self::event(self, &event, out).map_err(|error| GatewayError::Unreadable(error.to_string()))
    }

    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        Ok(self.response(&read_answer(body)?, out)?)
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        match Self::finish(self, out) {
            StreamEnd::Complete => Ok(()),
            StreamEnd::Truncated => Err(GatewayError::StreamCut),
            StreamEnd::Malformed(error) => Err(GatewayError::Answer(error)),
        }
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        Self::error(self, &error.anthropic(request_id), out);
    }

    fn usage(&self) -> Option<TokenUsage> {
        Self::usage(self)
    }
}

impl Encode for PassthroughStream {
    fn event(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), GatewayError> {
        if frame.event_type == CHUNK {
            self.chunk(&frame.payload, out)?;
        }
        Ok(())
    }

    fn server_sent(&mut self, event: &Event, out: &mut BytesMut) -> Result<(), GatewayError> {
        // A comment: the pump sends signs of life itself.
        if event.data.is_empty() {
            return Ok(());
        }
        Ok(Self::event(self, &event.data, out)?)
    }

    fn whole(&mut self, _: &[u8], _: &mut BytesMut) -> Result<(), GatewayError> {
        Err(GatewayError::Internal("no stream where one was asked for"))
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
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
