//! From a Chat Completions request to a Converse request.
//!
//! The body is read once into a borrowed tree, each concept takes its fields out (one file each),
//! and what is left at the end is refused or dropped by the table of fields. Deterministic: equal
//! bodies give equal requests, byte for byte, which prompt caches depend on.

mod messages;
mod parts;
mod request;
mod response_format;
mod tools;

use bedrock::converse::ConverseRequest;

use super::reply::ReplyContext;
use crate::translation::Fetch;

pub use request::decode;

/// A request, translated.
#[derive(Clone, Debug)]
pub struct Decoded<'a> {
    /// To be serialized as the upstream body. Incomplete while `fetches` is not empty.
    pub request: ConverseRequest<'a>,
    /// Whether the client wants a stream.
    pub stream: bool,
    /// Whether upstream can stream: if not, call Converse and give its response to
    /// [`super::StreamEncoder::response`].
    pub upstream_stream: bool,
    /// Whether a final chunk with usage was asked for.
    pub include_usage: bool,
    /// What the way back has to know.
    pub reply: ReplyContext,
    /// What was dropped or changed; printable ASCII, fit for a header each.
    pub warnings: Vec<String>,
    /// What has to be fetched before this is complete.
    pub fetches: Vec<Fetch>,
}

#[cfg(test)]
mod tests;
