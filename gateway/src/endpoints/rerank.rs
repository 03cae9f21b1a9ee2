//! `POST /v1/rerank` and `/v2/rerank`: one call of InvokeModel, for clients of Cohere and Jina.
//! <https://docs.cohere.com/reference/rerank>

use bytes::Bytes;
use dialects::rerank::{RerankRequest, decode_rerank, encode_rerank, read_rerank_response};

use super::embeddings::header_tokens;
use crate::{
    http::error::Result,
    pipeline::{
        batch::input_usage,
        cost::OtherUnits,
        endpoint::{Endpoint, Preparation, Reply, TargetRequest},
        record::RequestRecord,
    },
    upstream::{call::Prepared, guardrail, operation::Operation},
};

/// Path of Cohere's second version.
pub(crate) const V2_PATH: &str = "/v2/rerank";

/// Reranking.
pub(crate) struct Rerank {
    model: String,
}

impl Endpoint for Rerank {
    const PATH: &'static str = "/v1/rerank";
    const OPERATION: &'static str = "rerank";
    type Context = RerankRequest;

    fn new(model: &str, _: u64) -> Self {
        Self {
            model: model.to_owned(),
        }
    }

    fn prepare(&self, request: TargetRequest<'_>) -> Result<Preparation<Self::Context>> {
        guardrail::reject(request.headers)?;
        let capabilities = &request.target.capabilities;
        let mut decoded = decode_rerank(request.body, capabilities, request.config.strict)?;
        let body = std::mem::take(&mut decoded.body);
        let warnings = std::mem::take(&mut decoded.warnings);
        Ok(Prepared {
            warnings,
            ..Prepared::new(Operation::InvokeModel, body, decoded)
        }
        .into())
    }

    fn whole(&self, reply: Reply<'_, Self::Context>, record: &mut RequestRecord) -> Result<Bytes> {
        let ranked = read_rerank_response(&reply.context, &reply.body)?;
        let tokens = header_tokens(reply.headers).unwrap_or(0);
        record.set_usage(input_usage(tokens));
        record.set_other_units(OtherUnits {
            searches: 1,
            ..OtherUnits::default()
        });
        let id = record.request_id();
        Ok(encode_rerank(&reply.context, &ranked, id, &self.model, tokens).into())
    }
}
