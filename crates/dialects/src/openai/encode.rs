//! From Converse back to Chat Completions: a whole response, or a stream event by event.

mod response;
mod stream;
mod usage;

pub use response::{Encoded, encode_response};
pub use stream::StreamEncoder;

#[cfg(test)]
mod tests;
