//! The dialect of Anthropic's Messages, token counting and Models.
//!
//! Claude is system_and_messages to natively (`native`): its body goes through but for what Bedrock does not take,
//! and events come back byte for byte. Every other model, and Claude where a company allows nothing
//! else, is system_and_messages to by Converse: `decode`, then `encode_response` or a `StreamEncoder`. Nothing a
//! client sent is lost silently: it is honoured, refused naming the field, or dropped with a warning
//! ([`field_table`] says which). Specification: <https://docs.claude.com/en/api/messages>.

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
pub use error::ErrorBody;
pub use fields::field_table;
pub use models::{ModelInfo, model, models_list};
pub use passthrough::{Endpoint, Passthrough, PassthroughStream, passthrough, usage_of};
pub use reply::ReplyContext;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
