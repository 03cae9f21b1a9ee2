//! `POST /v1/responses`. Models that Bedrock serves in this protocol get the request with the few changes that Bedrock's
//! endpoints require, other models by Converse; the capabilities of the target decide.
//! <https://platform.openai.com/docs/api-reference/responses/create>

mod passthrough;

use bedrock::apis::Protocol;
use bytes::{Bytes, BytesMut};
use dialects::{
    openai::ResponseIdentity,
    responses::{Adapted, ReplyContext, Restorer, StreamEncoder, adapt, decode, encode_response},
};

use super::openai;
use crate::{
    http::error::{GatewayError, Result},
    pipeline::{
        converse,
        endpoint::{self, Endpoint, Preparation, Reply, StreamingEndpoint, TargetRequest},
        record::RequestRecord,
    },
    upstream::{call::Prepared, guardrail},
};

/// How the response of a target is encoded.
#[derive(Debug)]
pub(crate) enum Context {
    /// The target uses the client's protocol.
    Passthrough(Restorer),
    Converse(Box<ReplyContext>),
}

/// Responses.
pub(crate) struct Responses {
    identity: ResponseIdentity,
}

impl Endpoint for Responses {
    const PATH: &'static str = "/v1/responses";
    const OPERATION: &'static str = "responses";
    type Context = Context;

    fn new(model: &str, created: u64) -> Self {
        Self {
            identity: openai::identity("resp_", model, created),
        }
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        let api = request.target.capabilities.apis.responses;
        if let Some(api) = api.filter(|api| api.path(Protocol::Responses).is_some()) {
            let model = &request.target.model_id;
            let Adapted {
                body,
                warnings,
                restorer,
            } = adapt(request.body, model, request.config.strict)?;
            let sent = (body, request.head.stream);
            let context = Context::Passthrough(restorer);
            let served = (api, Protocol::Responses);
            let prepared = Prepared::passthrough(
                request.config,
                guardrail::of_headers(request.headers)?.as_ref(),
                served,
                sent,
                context,
            )?;
            return Ok(Prepared {
                warnings,
                ..prepared
            }
            .into());
        }
        let decoded = decode(request.body, &converse::decode_options(&request)?)?;
        converse::prepare_with(
            &decoded.request,
            decoded.stream && decoded.upstream_stream,
            decoded.fetches,
            decoded.warnings,
            Context::Converse(Box::new(decoded.reply)),
        )
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        let context = match reply.context {
            Context::Passthrough(restorer) => {
                if let Some(usage) = passthrough::usage(&reply.body) {
                    record.set_usage(usage);
                }
                return Ok(restorer
                    .response(&reply.body)
                    .map_or(reply.body, Bytes::from));
            }
            Context::Converse(context) => context,
        };
        let response = converse::read_response(&reply.body)?;
        record.set_usage(response.usage);
        Ok(encode_response(&response, *context, &self.identity)?
            .body
            .into())
    }
}

impl StreamingEndpoint for Responses {
    fn encoder(&self, context: Self::Context) -> Box<dyn endpoint::StreamEncoder> {
        match context {
            Context::Passthrough(restorer) => Box::new(passthrough::Stream::new(restorer)),
            Context::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        StreamEncoder::new(ReplyContext::default(), &self.identity)
            .error(&error.body(request_id), out);
    }
}
