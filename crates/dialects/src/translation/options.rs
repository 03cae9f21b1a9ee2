//! How to decode, as the configuration says, and media that has to be fetched first.

use std::collections::BTreeMap;

use crate::families::ModelCapabilities;

/// How to decode.
#[derive(Clone, Debug)]
pub struct DecodeOptions<'o> {
    /// What the model takes.
    pub capabilities: &'o ModelCapabilities,
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
    pub const fn new(capabilities: &'o ModelCapabilities) -> Self {
        Self {
            capabilities,
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
    /// What is not in the map comes back as the fetches of the decoded request; fetch it, guarded, and decode
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
