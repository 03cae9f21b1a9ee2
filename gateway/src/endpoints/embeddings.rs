//! `POST /v1/embeddings`: several calls of InvokeModel if the model embeds one text for each call.
//! <https://platform.openai.com/docs/api-reference/embeddings/create>

use bedrock::converse::TokenUsage;
use bytes::Bytes;
use dialects::openai::{
    EmbeddingCall, EmbeddingResult, ResponseIdentity, decode_embeddings, encode_embeddings,
    read_embedding_response,
};
use http::{HeaderMap, HeaderName};

use crate::{
    http::error::Result,
    pipeline::{
        batch::{BatchEndpoint, Calls, input_usage},
        cost::OtherUnits,
        endpoint::TargetRequest,
    },
    upstream::target::Target,
};

const TOKENS: HeaderName = HeaderName::from_static("x-amzn-bedrock-input-token-count");

/// Embeddings.
pub(crate) struct Embeddings {
    base64: bool,
    warnings: Vec<String>,
}

impl BatchEndpoint for Embeddings {
    const PATH: &'static str = "/v1/embeddings";
    const OPERATION: &'static str = "embeddings";
    const CONCURRENCY: usize = 8;
    type Call = EmbeddingCall;
    type Output = EmbeddingResult;

    /// Vectors of different models are not comparable.
    fn is_similar(one: &Target, other: &Target) -> bool {
        one.capabilities.embedding == other.capabilities.embedding
    }

    fn decode(request: TargetRequest<'_>) -> Result<(Self, Calls<Self::Call>)> {
        let capabilities = &request.target.capabilities;
        let decoded = decode_embeddings(request.body, capabilities, request.config.strict)?;
        let calls = decoded.calls.into_iter().map(|mut call| {
            let body = std::mem::take(&mut call.body);
            (Bytes::from(body), call)
        });
        let calls = calls.collect();
        let endpoint = Self {
            base64: decoded.base64,
            warnings: decoded.warnings,
        };
        Ok((endpoint, calls))
    }

    fn read(
        call: Self::Call,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<(Self::Output, Option<TokenUsage>)> {
        let result = read_embedding_response(&call, body)?;
        let tokens = result.tokens.or_else(|| header_tokens(headers));
        Ok((result, Some(input_usage(tokens.unwrap_or(0)))))
    }

    fn other_units(_: &Self::Output) -> OtherUnits {
        OtherUnits::default()
    }

    fn encode(
        self,
        outputs: &[Self::Output],
        usage: TokenUsage,
        model: String,
        created: u64,
    ) -> (Vec<u8>, Vec<String>) {
        let identity = ResponseIdentity {
            id: String::new(),
            created,
            model,
        };
        let body = encode_embeddings(outputs, usage.input_tokens, self.base64, &identity);
        (body, self.warnings)
    }
}

/// Input tokens in the headers of InvokeModel.
pub(super) fn header_tokens(headers: &HeaderMap) -> Option<u64> {
    headers.get(&TOKENS)?.to_str().ok()?.parse().ok()
}
