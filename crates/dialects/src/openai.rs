//! OpenAI's Chat Completions, Embeddings and Models.
//!
//! `head` reads what routing needs, `decode` translates a request to Converse, and `encode_response` or a
//! `StreamEncoder` translates the response. Every field is supported, rejected by name, or dropped with a warning;
//! see [`field_table`].
//! Specification: <https://platform.openai.com/docs/api-reference/chat>.

mod claude_shape;
mod decode;
mod embeddings;
mod encode;
mod fields;
mod models;
mod passthrough;
mod reply;

pub use crate::translation::{
    DecodeOptions, Fetch, FetchKind, Fetched, GuardrailRef, Head, RemoteMedia, RequestError,
    StreamError, UpstreamError, head,
    openai_shapes::{
        error::{ErrorBody, error_body},
        response::ResponseIdentity,
    },
};
pub use claude_shape::from_claude_shape;
pub use decode::{Decoded, decode};
pub use embeddings::{
    EmbeddingCall, EmbeddingRequest, EmbeddingResult, decode_embeddings, encode_embeddings,
    read_embedding_response,
};
pub use encode::{Encoded, StreamEncoder, encode_response, signed_reasoning};
pub(crate) use fields::known_field;
pub use fields::{field_descriptions, field_table};
pub use models::{ModelEntry, models_list};
pub use passthrough::{
    PassthroughRequest, PassthroughStream, passthrough, usage_of, with_lifted_reasoning,
};
pub use reply::ReplyContext;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
