//! The rules of translation to and from Converse that the dialects share.
//!
//! Bedrock's requirements do not depend on the client's dialect: alternating turns, media, tool names, schemas, cache
//! points, sampling, and the capabilities of a family. A dialect reads its own fields and assembles a request with
//! these modules. They use no dialect: a dialect passes its field names for warnings and errors (`context`) and its
//! table of fields (`fields`). `openai_shapes` holds what OpenAI's two chat endpoints have in common.

pub(crate) mod cache;
pub(crate) mod context;
pub(crate) mod conversation;
pub(crate) mod cursor;
mod error;
pub(crate) mod fields;
pub(crate) mod guardrail;
pub(crate) mod head;
pub(crate) mod held;
pub(crate) mod json;
pub(crate) mod leak;
pub(crate) mod media;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod openai_shapes;
mod options;
pub(crate) mod parts;
pub(crate) mod reasoning;
pub(crate) mod refused;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response_format;
pub(crate) mod sampling;
pub(crate) mod schema;
pub(crate) mod stop;
pub mod surrogates;
pub(crate) mod tool_results;
pub(crate) mod tools;
pub(crate) mod turns;
pub(crate) mod warnings;
pub(crate) mod write;

pub use cursor::Cursor;
pub use error::{RequestError, StreamError, UpstreamError};
pub use fields::FieldDescription;
pub use guardrail::twice as guardrail_set_twice;
pub use head::{Head, Replaced, head, head_with, with_client_model, with_model};
pub use options::{
    ClientGuardrail, DecodeOptions, Fetch, FetchKind, Fetched, GuardrailRef, KeptReasoning,
    RemoteMedia, SignedReasoning,
};
pub use refused::{THREAD_NOT_FOUND, THREAD_UNSUPPORTED, check_query};
