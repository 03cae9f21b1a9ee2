//! Decoding options from the configuration, and media that the gateway has to fetch.

use std::{collections::BTreeMap, fmt, sync::Arc};

use bedrock::converse::ReasoningContent;

use crate::families::ModelCapabilities;

/// Decoding options.
#[derive(Clone, Debug)]
pub struct DecodeOptions<'o> {
    /// Capabilities of the model.
    pub capabilities: &'o ModelCapabilities,
    /// Reject fields that would be dropped or changed with a warning.
    pub strict: bool,
    /// A guardrail that clients cannot override.
    pub guardrail: Option<GuardrailRef>,
    /// A guardrail that the client sets in headers.
    pub client_guardrail: Option<ClientGuardrail>,
    /// How to handle `https://` URLs of images and files.
    pub remote_media: RemoteMedia<'o>,
    /// Add cache points automatically if the client sets none.
    pub automatic_cache: bool,
    /// Signed reasoning of earlier responses, for clients that replay none.
    pub kept_reasoning: Option<&'o dyn KeptReasoning>,
}

/// The signed blocks of one response.
pub type SignedReasoning = Vec<ReasoningContent<'static>>;

/// Signed reasoning of earlier responses. Chat Completions has no field for it, so most clients do not replay it.
pub trait KeptReasoning: fmt::Debug + Sync {
    /// The blocks of the response whose first tool call has this id.
    fn before_call(&self, id: &str) -> Option<Arc<SignedReasoning>>;
}

impl<'o> DecodeOptions<'o> {
    /// The defaults: lenient, without guardrail, fetching or automatic caching.
    pub const fn new(capabilities: &'o ModelCapabilities) -> Self {
        Self {
            capabilities,
            strict: false,
            guardrail: None,
            client_guardrail: None,
            remote_media: RemoteMedia::Refuse,
            automatic_cache: false,
            kept_reasoning: None,
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

/// A guardrail that a client sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientGuardrail {
    /// Id and version.
    pub guardrail: GuardrailRef,
    /// The trace, as in Converse: `enabled`, `disabled` or `enabled_full`.
    pub trace: Option<String>,
}

/// How to handle `https://` URLs of images and files: Bedrock accepts only bytes and S3 objects.
#[derive(Clone, Copy, Debug)]
pub enum RemoteMedia<'o> {
    /// Reject with a 400 that names the part.
    Refuse,
    /// Use the fetched content in the map, keyed by URL. URLs that are missing are returned as `fetches` of the
    /// decoded request; fetch them with the gateway's safeguards and decode again.
    Fetch(&'o BTreeMap<String, Fetched>),
}

/// Fetched content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// `Content-Type` of the response.
    pub content_type: Option<String>,
}

/// Content to fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// The URL.
    pub url: String,
    /// The field with the URL, for errors.
    pub param: String,
    /// The expected kind.
    pub kind: FetchKind,
    /// Maximum size in bytes.
    pub max_bytes: u64,
}

/// Kind of content at a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchKind {
    /// An image.
    Image,
    /// A document, or any other supported type.
    File,
    /// A video.
    Video,
}
