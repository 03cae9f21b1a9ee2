//! Chat Completions of models that Bedrock serves in this protocol: bytes through, signed, and read in
//! passing for the account.

use bedrock::{converse::TokenUsage, eventstream::Frame, sse::Event, surface::Protocol};
use bytes::{Bytes, BytesMut};
use dialects::openai::{NativeStream, native, renamed, usage_of};

use super::Way;
use crate::{error::GatewayError, live::Live, route::Target, sse, upstream::Prepared};

/// The request for a target that speaks Chat Completions itself; none for others.
pub(super) fn prepare(
    live: &Live,
    target: &Target,
    body: &[u8],
) -> Result<Option<Prepared<Way>>, GatewayError> {
    let surface = target.facts.surfaces.chat;
    let Some(surface) = surface.filter(|one| one.path(Protocol::ChatCompletions).is_some()) else {
        return Ok(None);
    };
    let native = native(body, &target.model_id)?;
    let sent = (native.body, native.stream);
    Prepared::foreign(live, surface, Protocol::ChatCompletions, sent, Way::Native).map(Some)
}

/// A whole answer for a client that calls the model so, and its token counts.
pub(super) fn whole(body: &[u8], model: &str) -> (Bytes, Option<TokenUsage>) {
    (Bytes::from(renamed(body, model)), usage_of(body))
}

impl sse::Encode for NativeStream {
    fn event(&mut self, _frame: &Frame, _out: &mut BytesMut) -> Result<(), GatewayError> {
        Err(GatewayError::Internal("frames where events were asked for"))
    }

    fn server_sent(&mut self, event: &Event, out: &mut BytesMut) -> Result<(), GatewayError> {
        Self::event(self, event, out);
        Ok(())
    }

    fn whole(&mut self, _: &[u8], _: &mut BytesMut) -> Result<(), GatewayError> {
        Err(GatewayError::Internal("no stream where one was asked for"))
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        let cut = GatewayError::StreamCut;
        if Self::finish(self, &cut.body(""), out) {
            Ok(())
        } else {
            Err(cut)
        }
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        Self::error(self, &error.body(request_id), out);
    }

    fn usage(&self) -> Option<TokenUsage> {
        Self::usage(self)
    }
}
