//! The stream encoders of Chat Completions and Responses for responses of Converse, as encoders of the pipeline.

use bedrock::{converse::TokenUsage, eventstream::Frame};
use bytes::BytesMut;
use dialects::{openai, responses};

use crate::{
    http::error::{GatewayError, Result},
    pipeline::{
        converse::{read_event, read_response},
        endpoint::StreamEncoder,
    },
};

macro_rules! stream_encoder {
    ($($encoder:ty),*) => {$(
        impl StreamEncoder for $encoder {
            fn frame(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<()> {
                let event = read_event(frame)?;
                Self::event(self, &event, out)
                    .map_err(|error| GatewayError::Unreadable(error.to_string()))
            }

            fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<()> {
                Ok(self.response(&read_response(body)?, out)?)
            }

            fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
                Self::finish(self, out);
                match (self.finish_reason(), self.stop_reason()) {
                    (Some(_), _) => Ok(()),
                    (None, Some(stop)) => Err(GatewayError::Unreadable(stop.as_str().to_owned())),
                    (None, None) => Err(GatewayError::StreamCut),
                }
            }

            fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
                Self::error(self, &error.body(request_id), out);
            }

            fn usage(&self) -> Option<TokenUsage> {
                Self::usage(self)
            }
        }
    )*};
}

stream_encoder!(openai::StreamEncoder, responses::StreamEncoder);
