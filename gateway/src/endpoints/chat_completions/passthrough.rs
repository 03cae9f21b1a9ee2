//! Chat Completions of models that Bedrock serves in this protocol: bytes are forwarded, only the model name and the
//! token usage are read.

use bedrock::{apis::Protocol, converse::TokenUsage, sse::Event};
use bytes::{Bytes, BytesMut};
use dialects::openai::{PassthroughStream, ReplyContext, passthrough, usage_of, with_client_model};

use crate::{
    http::error::{GatewayError, Result},
    pipeline::endpoint::{Encoding, StreamEncoder, TargetRequest},
    upstream::call::Prepared,
};

/// The request for a target with this protocol; none for others.
pub(super) fn prepare(
    request: TargetRequest<'_>,
) -> Result<Option<Prepared<Encoding<ReplyContext>>>> {
    let protocol = Protocol::ChatCompletions;
    let api = request.target.capabilities.apis.chat;
    let Some(api) = api.filter(|api| api.path(protocol).is_some()) else {
        return Ok(None);
    };
    let sent = passthrough(request.body, &request.target.model_id)?;
    let sent = (sent.body, sent.stream);
    let config = request.config;
    Prepared::passthrough(config, (api, protocol), sent, Encoding::Passthrough).map(Some)
}

/// A complete response with the client's model name, and its token usage.
pub(super) fn whole(body: &[u8], model: &str) -> (Bytes, Option<TokenUsage>) {
    (Bytes::from(with_client_model(body, model)), usage_of(body))
}

impl StreamEncoder for PassthroughStream {
    fn event(&mut self, event: &Event, out: &mut BytesMut) -> Result<()> {
        Self::event(self, event, out);
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
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
