//! `POST /v1/chat/completions`. Models that Bedrock serves in this protocol get the request unchanged, other models
//! by Converse; the capabilities of the target decide.
//! <https://platform.openai.com/docs/api-reference/chat/create>

mod passthrough;

use bytes::{Bytes, BytesMut};
use dialects::openai::{
    PassthroughStream, ReplyContext, ResponseIdentity, StreamEncoder, decode, encode_response,
};

use crate::{
    http::error::{GatewayError, Result},
    pipeline::{
        converse,
        endpoint::{
            self, Encoding, Endpoint, Preparation, Reply, StreamingEndpoint, TargetRequest,
        },
        record::RequestRecord,
    },
};

/// Chat Completions.
pub(crate) struct ChatCompletions {
    identity: ResponseIdentity,
}

impl Endpoint for ChatCompletions {
    const PATH: &'static str = "/v1/chat/completions";
    const OPERATION: &'static str = "chat";
    type Context = Encoding<ReplyContext>;

    fn new(model: &str, created: u64) -> Self {
        Self {
            identity: ResponseIdentity {
                id: format!("chatcmpl-{:032x}", fastrand::u128(..)),
                created,
                model: model.to_owned(),
            },
        }
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        if let Some(prepared) = passthrough::prepare(request)? {
            return Ok(prepared.into());
        }
        let decoded = decode(request.body, &converse::decode_options(&request))?;
        if !decoded.fetches.is_empty() {
            return Ok(Preparation::NeedsMedia(decoded.fetches));
        }
        converse::prepare(
            &decoded.request,
            decoded.stream && decoded.upstream_stream,
            decoded.warnings,
            Encoding::Converse(Box::new(decoded.reply)),
        )
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        match reply.context {
            Encoding::Passthrough => {
                let (body, usage) = passthrough::whole(&reply.body, &self.identity.model);
                if let Some(usage) = usage {
                    record.set_usage(usage);
                }
                Ok(body)
            }
            Encoding::Converse(context) => {
                let response = converse::read_response(&reply.body)?;
                record.set_usage(response.usage);
                let encoded = encode_response(&response, &context, &self.identity)?;
                Ok(encoded.body.into())
            }
        }
    }
}

impl StreamingEndpoint for ChatCompletions {
    fn encoder(&self, encoding: Self::Context) -> Box<dyn endpoint::StreamEncoder> {
        match encoding {
            Encoding::Passthrough => Box::new(PassthroughStream::new(&self.identity.model)),
            Encoding::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        StreamEncoder::new(ReplyContext::default(), &self.identity)
            .error(&error.body(request_id), out);
    }
}
