//! The dialect of OpenAI's Responses.
//!
//! It is OpenAI's like Chat Completions, and shares its rules: this folder reads what Responses
//! spells differently and writes its objects and events, everything between is [`crate::openai`]'s.
//! Nothing is kept from one request to the next: reasoning travels with the client, sealed into
//! `encrypted_content`. Nothing a client sent is lost silently ([`field_table`]).
//! Specification: <https://platform.openai.com/docs/api-reference/responses>.

mod carrier;
mod decode;
mod encode;
mod fields;

pub use decode::{Decoded, ReplyContext, decode};
pub use encode::{Encoded, StreamEncoder, encode_response, stream_failure};
pub use fields::field_table;

#[cfg(test)]
mod checker;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
