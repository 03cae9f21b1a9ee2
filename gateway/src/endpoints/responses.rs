//! `POST /v1/responses`. Models that Bedrock serves in this protocol get the request with the few changes that Bedrock's
//! endpoints require, other models by Converse; the capabilities of the target decide.
//! <https://platform.openai.com/docs/api-reference/responses/create>

mod passthrough;

use bedrock::apis::Protocol;
use bytes::{Bytes, BytesMut};
use dialects::{
    openai::ResponseIdentity,
    responses::{ReplyContext, Restorer, StreamEncoder, adapt, decode, encode_response},
};

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

/// Responses.
pub(crate) struct Responses {
    identity: ResponseIdentity,
}

impl Endpoint for Responses {
    const PATH: &'static str = "/v1/responses";
    const OPERATION: &'static str = "responses";
    type Context = Encoding<ReplyContext, Restorer>;

    fn new(model: &str, created: u64) -> Self {
        Self {
            identity: openai::identity("resp_", model, created),
        }
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        let api = request.target.capabilities.apis.responses;
        let strict = request.config.strict;
        let edit = |body: &Bytes, target: &Target| {
            let adapted = adapt(body, &target.model_id, &target.capabilities, strict)?;
            Ok(Edited {
                body: adapted.body.into(),
                warnings: adapted.warnings,
                context: adapted.restorer,
            })
        };
        if let Some(sent) = openai::passthrough(request, (api, Protocol::Responses), edit)? {
            return Ok(sent);
        }
        let decoded = decode(request.body, &converse::decode_options(&request)?)?;
        converse::prepare(
            (&decoded.request, request.body.len()),
            decoded.stream && decoded.upstream_stream,
            decoded.fetches,
            decoded.warnings,
            decoded.reply,
        )
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        let forward = |body: Bytes, restorer: Restorer| {
            let usage = passthrough::usage(&body);
            (restorer.response(&body).map_or(body, Bytes::from), usage)
        };
        converse::whole(reply, record, "output", forward, |response, context| {
            Ok(encode_response(response, context, &self.identity)?.body)
        })
    }
}

impl StreamingEndpoint for Responses {
    fn encoder(&self, encoding: Self::Context) -> Box<dyn endpoint::StreamEncoder> {
        match encoding {
            Encoding::Passthrough(restorer) => Box::new(passthrough::Stream::new(restorer)),
            Encoding::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        StreamEncoder::new(ReplyContext::default(), &self.identity)
            .error(&error.body(request_id), out);
    }
}
