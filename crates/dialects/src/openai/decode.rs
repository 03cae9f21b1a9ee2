//! Translates a Chat Completions request to a Converse request.
//!
//! The body is parsed once into a borrowed tree. Each module takes its fields out, and the table of fields decides
//! which of the remaining fields are rejected or dropped. Equal bodies give equal requests, byte for byte, which
//! prompt caching depends on.

mod messages;
mod parts;
mod request;
mod response_format;
mod tools;

use bedrock::converse::ConverseRequest;

use super::reply::ReplyContext;
use crate::translation::Fetch;

pub use request::decode;

/// A translated request.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// The upstream body, to be serialized. Incomplete if `fetches` is not empty.
    pub request: ConverseRequest<'a>,
    /// Whether the client requests a stream.
    pub stream: bool,
    /// Whether to call ConverseStream. If not, call Converse and pass its response to
    /// [`super::StreamEncoder::response`].
    pub upstream_stream: bool,
    /// Whether the client requests a final chunk with usage.
    pub include_usage: bool,
    /// Context for encoding the response.
    pub reply: ReplyContext,
    /// Warnings about dropped and changed fields; each is printable ASCII and a valid header value.
    pub warnings: Vec<String>,
    /// URLs to fetch before the request is complete.
    pub fetches: Vec<Fetch>,
}

#[cfg(test)]
mod tests;
