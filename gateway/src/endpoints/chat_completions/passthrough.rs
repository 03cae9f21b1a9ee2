//! Chat Completions of models that Bedrock serves in this protocol: bytes through, signed, and read in
//! passing for the account.

use bedrock::{apis::Protocol, converse::TokenUsage, eventstream::Frame, sse::Event};
use bytes::{Bytes, BytesMut};
use dialects::openai::{PassthroughStream, passthrough, usage_of, with_client_model};

use super::Way;
use crate::{
    http::error::GatewayError,
    pipeline::{active_config::Live, route::Target, stream as sse},
    upstream::call::Prepared,
};

/// The request for a target that speaks Chat Completions itself; none for others.
pub(super) fn prepare(
    live: &Live,
    target: &Target,
    body: &[u8],
) -> Result<Option<Prepared<Way>>, GatewayError> {
    let api = target.capabilities.apis.chat;
    let Some(api) = api.filter(|one| one.path(Protocol::ChatCompletions).is_some()) else {
        return Ok(None);
    };
    let native = passthrough(body, &target.model_id)?;
    let sent = (native.body, native.stream);
    Prepared::passthrough(live, api, Protocol::ChatCompletions, sent, Way::Passthrough).map(Some)
}

/// A whole answer for a client that calls the model so, and its token counts.
pub(super) fn whole(body: &[u8], model: &str) -> (Bytes, Option<TokenUsage>) {
    (Bytes::from(with_client_model(body, model)), usage_of(body))
}

impl sse::Encode for PassthroughStream {
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
