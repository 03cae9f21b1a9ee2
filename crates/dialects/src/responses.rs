//! OpenAI's Responses.
//!
//! This module reads the fields that differ from Chat Completions, and writes the objects and events of Responses; both
//! endpoints share `translation::openai_shapes`. The gateway stores nothing between requests: clients replay
//! reasoning, which is sealed into `encrypted_content`. Every field is supported, rejected by name, or dropped with a
//! warning; see [`field_table`].
//! Specification: <https://platform.openai.com/docs/api-reference/responses>.

mod carrier;
mod decode;
mod encode;
mod fields;
mod names;
mod passthrough;

pub use decode::{Decoded, ReplyContext, decode};
pub use encode::{Encoded, StreamEncoder, encode_response, stream_failure};
pub(crate) use fields::known_field;
pub use fields::{field_descriptions, field_table};
pub use passthrough::{Adapted, PassthroughStream, Restorer, adapt};

#[cfg(test)]
mod checker;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
