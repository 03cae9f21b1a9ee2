//! The rules of translation to Converse and back that all dialects share.
//!
//! What Bedrock takes does not depend on who asks: alternating turns, media, names of tools, schemas,
//! cache points, sampling, and what a family lacks. A dialect reads its own fields and puts them
//! together with these pieces; nothing here knows a field of a dialect, names of fields come along
//! for warnings and errors only.

pub(crate) mod cache;
pub(crate) mod context;
pub(crate) mod conversation;
mod error;
pub(crate) mod fields;
mod head;
pub(crate) mod json;
pub(crate) mod leak;
pub(crate) mod media;
pub(crate) mod metadata;
pub(crate) mod names;
pub(crate) mod openai_shapes;
mod options;
pub(crate) mod parts;
pub(crate) mod reasoning;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod response_format;
pub(crate) mod sampling;
pub(crate) mod schema;
pub(crate) mod stop;
pub(crate) mod tool_results;
pub(crate) mod tools;
pub(crate) mod turns;
pub(crate) mod warnings;
pub(crate) mod write;

pub use error::{RequestError, StreamError, UpstreamError};
pub use head::{Head, head, with_model};
pub use options::{DecodeOptions, Fetch, FetchKind, Fetched, GuardrailRef, RemoteMedia};
