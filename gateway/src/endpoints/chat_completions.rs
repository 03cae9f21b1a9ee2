//! `POST /v1/chat/completions`. Models that Bedrock serves in this protocol get the request with their own id and
//! OpenAI's shape, other models by Converse; the capabilities of the target decide.
//! <https://platform.openai.com/docs/api-reference/chat/create>

use bedrock::apis::Protocol;
use bytes::{Bytes, BytesMut};
use dialects::openai::{
    PassthroughStream, ReplyContext, ResponseIdentity, StreamEncoder, decode, encode_response,
    from_claude_shape, passthrough, usage_of, with_lifted_reasoning,
};
use dialects::translation::with_client_model;

use super::openai::{self, Edited};
use crate::{
    http::error::{GatewayError, Result},
    pipeline::{
        converse,
        endpoint::{
            self, Encoding, Endpoint, Preparation, Reply, StreamingEndpoint, TargetRequest,
        },
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
    type Context = Encoding<ReplyContext, bool>;

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
        let edit = |body: &[u8], target: &Target| {
            Ok(Edited {
                body: passthrough(body, &target.model_id)?.body,
                warnings: Vec::new(),
                context: target.capabilities.reasoning.tags,
            })
        };
        if let Some(sent) = openai::passthrough(request, (api, Protocol::ChatCompletions), edit)? {
            return Ok(sent);
        }
        let decoded = decode(request.body, &converse::decode_options(&request)?)?;
        converse::prepare(
            &decoded.request,
            decoded.stream && decoded.upstream_stream,
            decoded.fetches,
            decoded.warnings,
            decoded.reply,
        )
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        let forward = |body: Bytes, tags| {
            let usage = usage_of(&body);
            let body = if tags {
                with_lifted_reasoning(&body).into()
            } else {
                body
            };
            (with_client_model(&body, &self.identity.model).into(), usage)
        };
        converse::whole(reply, record, "choices", forward, |response, context| {
            Ok(encode_response(response, &context, &self.identity)?.body)
        })
    }
}

impl StreamingEndpoint for ChatCompletions {
    fn encoder(&self, encoding: Self::Context) -> Box<dyn endpoint::StreamEncoder> {
        match encoding {
            Encoding::Passthrough(tags) => {
                Box::new(PassthroughStream::new(&self.identity.model).with_tags(tags))
            }
            Encoding::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        StreamEncoder::new(ReplyContext::default(), &self.identity)
            .error(&error.body(request_id), out);
    }
}
