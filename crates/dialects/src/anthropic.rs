//! Anthropic's Messages, token counting and Models.
//!
//! Requests for Claude pass through to Claude's own API ([`passthrough()`]): fields that Bedrock does not support are
//! removed or rejected, and events return byte for byte. Other models, and Claude if so configured, are called by
//! Converse: `decode`, then `encode_response` or a `StreamEncoder`. Every field is supported, rejected by name, or
//! dropped with a warning; see [`field_table`]. Specification: <https://docs.claude.com/en/api/messages>.

mod count_tokens;
mod decode;
mod encode;
mod error;
mod fields;
mod models;
mod passthrough;
mod reply;

pub use crate::translation::StreamError;
pub use count_tokens::{
    CountRequest, count_by_converse, count_passthrough, encode_count, read_count,
};
pub use decode::{Decoded, decode};
pub use encode::{Encoded, ResponseIdentity, StreamEncoder, StreamEnd, encode_response};
pub use error::{ErrorBody, OVERLOADED};
pub(crate) use fields::known_field;
pub use fields::{field_descriptions, field_table};
pub use models::{ModelInfo, model, models_list};
pub use passthrough::{
    Endpoint, Passthrough, PassthroughStream, Restorer, needs_converse, passthrough, usage_of,
};
pub use reply::ReplyContext;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
