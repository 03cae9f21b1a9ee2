//! From a Chat Completions request to a Converse request.
//!
//! The body is read once into a borrowed tree, each concept takes its fields out (one file each),
//! and what is left at the end is refused or dropped by the table of fields. Deterministic: equal
//! bodies give equal requests, byte for byte, which prompt caches depend on.

pub(crate) mod cache;
pub(crate) mod format;
pub(crate) mod media;
pub(crate) mod messages;
pub(crate) mod names;
pub(crate) mod notes;
pub(crate) mod parts;
pub(crate) mod reasoning;
pub(crate) mod reply;
pub(crate) mod request;
pub(crate) mod sampling;
pub(crate) mod schema;
pub(crate) mod service;
pub(crate) mod tools;
pub(crate) mod turns;

use std::collections::BTreeMap;

use bedrock::converse::ConverseRequest;

use crate::families::ModelFacts;

pub(crate) use notes::Notes;
pub use reply::ReplyContext;
pub use request::decode;

/// How to decode.
#[derive(Clone, Debug)]
pub struct DecodeOptions<'o> {
    /// What the model takes.
    pub facts: &'o ModelFacts,
    /// Refuse what would otherwise be dropped with a warning.
    pub strict: bool,
    /// A guardrail that no client can take away.
    pub guardrail: Option<GuardrailRef>,
    /// What to do about `https://` in images and files.
    pub remote_media: RemoteMedia<'o>,
    /// Put cache points where they usually help, if the client sets none.
    pub automatic_cache: bool,
}

impl<'o> DecodeOptions<'o> {
    /// Nothing forced, nothing fetched, lenient.
    pub const fn new(facts: &'o ModelFacts) -> Self {
        Self {
            facts,
            strict: false,
            guardrail: None,
            remote_media: RemoteMedia::Refuse,
            automatic_cache: false,
        }
    }
}

/// A guardrail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardrailRef {
    /// Id or ARN.
    pub identifier: String,
    /// A number, or `DRAFT`.
    pub version: String,
}

/// What to do about `https://` in images and files: Bedrock takes bytes and objects in S3 only.
#[derive(Clone, Copy, Debug)]
pub enum RemoteMedia<'o> {
    /// 400, naming the part.
    Refuse,
    /// What is not in the map comes back as [`Decoded::fetches`]; fetch it, guarded, and decode
    /// again with a map that has it. The map is keyed by URL.
    Fetch(&'o BTreeMap<String, Fetched>),
}

/// Something that was fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// `Content-Type` of the answer.
    pub content_type: Option<String>,
}

/// Something to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Where it is.
    pub url: String,
    /// Which field asked for it, for errors.
    pub param: String,
    /// What it should be.
    pub kind: FetchKind,
    /// Larger answers are of no use.
    pub max_bytes: u64,
}

/// What a URL should lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// A picture.
    Image,
    /// A document, or whatever its type says.
    File,
    /// A video.
    Video,
}

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
