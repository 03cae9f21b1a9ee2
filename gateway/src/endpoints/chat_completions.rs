//! `POST /v1/chat/completions`. Models that Bedrock serves in this protocol get the request with their own id and
//! OpenAI's shape, other models by Converse; the capabilities of the target decide.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use bedrock::{apis::Protocol, converse::TokenUsage, eventstream::Frame};
use bytes::{Bytes, BytesMut};
use dialects::{
    families::Replay,
    openai::{
        PassthroughStream, ReplyContext, ResponseIdentity, StreamEncoder, decode, encode_response,
        from_claude_shape, passthrough, signed_reasoning, usage_of, with_lifted_reasoning,
    },
    translation::{Replaced, with_client_model},
};

use super::openai::{self, Edited};
use crate::{
    http::{
        error::{GatewayError, Result},
        payload::Payload,
    },
    pipeline::{
        converse,
        endpoint::{
            self, Encoding, Endpoint, Preparation, Reply, StreamingEndpoint, TargetRequest,
        },
        kept_reasoning::ClientReasoning,
        record::RequestRecord,
    },
    upstream::target::Target,
};

/// Chat Completions.
pub(crate) struct ChatCompletions {
    identity: ResponseIdentity,
}

impl Endpoint for ChatCompletions {
    const PATH: &'static str = "/v1/chat/completions";
    const OPERATION: &'static str = "chat";
    /// Of a forwarded response: whether its text contains the reasoning (`reasoning.tags` of the family).
    type Context = Encoding<(ReplyContext, Option<ClientReasoning>), bool>;

    fn new(model: &str, created: u64) -> Self {
        Self {
            identity: openai::identity("chatcmpl-", model, created),
        }
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        let adapted: Bytes;
        let request = if request.head.is_claude_shaped {
            adapted = from_claude_shape(request.body)?.into();
            TargetRequest {
                body: &adapted,
                ..request
            }
        } else {
            request
        };
        let api = request.target.capabilities.apis.chat;
        let edit = |body: &Bytes, target: &Target| {
            let Replaced { part, by } = passthrough(body, &target.model_id)?.model;
            Ok(Edited {
                body: Payload::replacing(body, part, by.as_bytes()),
                warnings: Vec::new(),
                context: target.capabilities.reasoning.tags,
            })
        };
        if let Some(sent) = openai::passthrough(request, (api, Protocol::ChatCompletions), edit)? {
            return Ok(sent);
        }
        let kept = kept_reasoning(&request);
        let mut options = converse::decode_options(&request)?;
        if let Some(kept) = &kept {
            options.kept_reasoning = Some(kept);
        }
        let decoded = decode(request.body, &options)?;
        converse::prepare(
            (&decoded.request, request.body.len()),
            decoded.stream && decoded.upstream_stream,
            decoded.fetches,
            decoded.warnings,
            (decoded.reply, kept),
        )
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        let forward = |body: Bytes, tags: bool| {
            let usage = usage_of(&body);
            let lifted = tags.then(|| with_lifted_reasoning(&body)).flatten();
            let body = lifted.map_or(body, Bytes::from);
            (with_client_model(&body, &self.identity.model).into(), usage)
        };
        converse::whole(reply, record, "choices", forward, |response, context| {
            let (reply, kept) = context;
            let body = encode_response(response, &reply, &self.identity)?.body;
            if let Some(kept) = kept
                && let Some(signed) = signed_reasoning(response, &reply)
            {
                kept.keep(signed);
            }
            Ok(body)
        })
    }
}

impl StreamingEndpoint for ChatCompletions {
    fn encoder(&self, encoding: Self::Context) -> Box<dyn endpoint::StreamEncoder> {
        match encoding {
            Encoding::Passthrough(tags) => {
                Box::new(PassthroughStream::new(&self.identity.model).with_tags(tags))
            }
            Encoding::Converse(context) => {
                let (reply, kept) = *context;
                let encoder = StreamEncoder::new(reply, &self.identity);
                match kept {
                    None => Box::new(encoder),
                    Some(kept) => Box::new(KeepingEncoder {
                        encoder: encoder.collecting_signed(),
                        kept,
                    }),
                }
            }
        }
    }

    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        StreamEncoder::new(ReplyContext::default(), &self.identity)
            .error(&error.body(request_id), out);
    }
}

/// Where signed reasoning of the request's client is kept, if the model takes it back.
fn kept_reasoning(request: &TargetRequest<'_>) -> Option<ClientReasoning> {
    let is_replayed = request.target.capabilities.reasoning.replay == Replay::Signed;
    (is_replayed && request.config.keep_reasoning).then(|| {
        let model_id = &request.target.model_id;
        request.reasoning.of(request.client, model_id)
    })
}

/// An encoder that keeps signed reasoning before the client sees the stop reason.
struct KeepingEncoder {
    encoder: StreamEncoder,
    kept: ClientReasoning,
}

impl KeepingEncoder {
    fn keep(&mut self) {
        if let Some(signed) = self.encoder.take_signed() {
            self.kept.keep(signed);
        }
    }
}

impl endpoint::StreamEncoder for KeepingEncoder {
    fn frame(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<()> {
        endpoint::StreamEncoder::frame(&mut self.encoder, frame, out)?;
        self.keep();
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<()> {
        endpoint::StreamEncoder::whole(&mut self.encoder, body, out)?;
        self.keep();
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
        endpoint::StreamEncoder::finish(&mut self.encoder, out)
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        endpoint::StreamEncoder::error(&mut self.encoder, error, request_id, out);
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.encoder.usage()
    }
}
