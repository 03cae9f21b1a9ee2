//! The dialect of OpenAI's Chat Completions, Embeddings and Models.
//!
//! A request goes `head` → (routing, elsewhere) → `decode` → Converse; what comes back goes
//! through `encode_response` or a `StreamEncoder`. Nothing a client sent is lost silently: it is
//! honoured, refused naming the field, or dropped with a warning ([`field_table`] says which).
//! Specification: <https://platform.openai.com/docs/api-reference/chat>.

pub(crate) mod decode;
mod embeddings;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod fields;

mod models;
mod passthrough;

pub(crate) use crate::translation::json;

pub use crate::translation::{Head, head};
pub use decode::{
    DecodeOptions, Decoded, Fetch, FetchKind, Fetched, GuardrailRef, RemoteMedia, ReplyContext,
    decode,
};
pub use embeddings::{
    EmbeddingCall, EmbeddingRequest, EmbeddingResult, decode_embeddings, encode_embeddings,
    read_embedding_response,
};
pub use encode::{Encoded, ResponseIdentity, StreamEncoder, StreamError, encode_response};
pub use error::{ErrorBody, RequestError, UpstreamError, error_body};
pub use fields::field_table;
pub use models::{ModelEntry, models_list};
pub use passthrough::{PassthroughRequest, PassthroughStream, passthrough, renamed, usage_of};

#[cfg(test)]
pub(crate) mod golden;
#[cfg(test)]
pub(crate) mod properties;
