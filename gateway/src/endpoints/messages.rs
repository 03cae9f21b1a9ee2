//! `POST /v1/messages`. Claude gets the request in its own format, other models by Converse; the capabilities of the
//! target decide. <https://docs.claude.com/en/api/messages>

pub(crate) mod prepare;
mod stream;

use bytes::{Bytes, BytesMut};
use dialects::anthropic::{
    PassthroughStream, ReplyContext, ResponseIdentity, Restorer, StreamEncoder, encode_response,
    usage_of,
};
use dialects::translation::with_client_model;

use crate::{
    http::{
        dialect::Dialect,
        error::{GatewayError, Result},
    },
    pipeline::{
        converse,
        endpoint::{
            self, Encoding, Endpoint, Preparation, Reply, StreamingEndpoint, TargetRequest,
        },
        record::RequestRecord,
    },
};

/// Messages.
pub(crate) struct Messages {
    identity: ResponseIdentity,
}

impl Endpoint for Messages {
    const PATH: &'static str = "/v1/messages";
    const OPERATION: &'static str = "chat";
    const DIALECT: Dialect = Dialect::Anthropic;
    type Context = Encoding<ReplyContext, Restorer>;

    fn new(model: &str, _: u64) -> Self {
        Self {
            identity: ResponseIdentity {
                id: format!("msg_{:032x}", fastrand::u128(..)),
                model: model.to_owned(),
            },
        }
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        prepare::prepare(request)
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        let forward = |body: Bytes, restorer: Restorer| {
            let usage = usage_of(&body);
            let body = restorer.response(&body).map_or(body, Bytes::from);
            (with_client_model(&body, &self.identity.model).into(), usage)
        };
        converse::whole(reply, record, "content", forward, |response, context| {
            Ok(encode_response(response, &context, &self.identity)?.body)
        })
    }
}

impl StreamingEndpoint for Messages {
    fn encoder(&self, encoding: Self::Context) -> Box<dyn endpoint::StreamEncoder> {
        match encoding {
            Encoding::Passthrough(restorer) => {
                Box::new(PassthroughStream::new(&self.identity.model, restorer))
            }
            Encoding::Converse(reply) => Box::new(StreamEncoder::new(*reply, &self.identity)),
        }
    }

    fn write_error(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        PassthroughStream::default().error(&error.anthropic(request_id), out);
    }
}
