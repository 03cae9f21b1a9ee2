//! Translates Converse responses and streams to Chat Completions.

mod response;
mod stream;
mod usage;

pub use response::{Encoded, encode_response, signed_reasoning};
pub use stream::StreamEncoder;

#[cfg(test)]
mod tests;
