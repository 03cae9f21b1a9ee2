//! Content blocks of a request: what stands in `messages[].content`, `system` and tool results.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

/// One element of a message's `content`, an externally tagged union as on the wire.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentBlock<'a> {
    /// Plain text; Bedrock refuses blank text.
    Text(Cow<'a, str>),
    /// A picture.
    Image(MediaBlock<'a>),
    /// A document with a name.
    Document(DocumentBlock<'a>),
    /// A video.
    Video(MediaBlock<'a>),
    /// A sound.
    Audio(MediaBlock<'a>),
    /// A call of a tool by the model.
    ToolUse(ToolUseBlock<'a>),
    /// What the call gave.
    ToolResult(ToolResultBlock<'a>),
    /// Text that a guardrail is to look at.
    GuardContent(GuardContent<'a>),
    /// Everything before this is to be cached.
    CachePoint(CachePoint),
    /// The model's reasoning of an earlier turn, replayed.
    ReasoningContent(ReasoningContent<'a>),
    /// Something that was found, to be cited.
    SearchResult(SearchResultBlock<'a>),
}

/// Image, video or audio: a format and where the bytes are.
#[derive(Clone, Debug, Serialize)]
pub struct MediaBlock<'a> {
    /// `png`, `mp4`, `wav`, …
    pub format: &'static str,
    /// The bytes.
    pub source: Source<'a>,
}

/// A document.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentBlock<'a> {
    /// `pdf`, `csv`, `txt`, …
    pub format: &'static str,
    /// 1–200 of alphanumerics, single spaces and `-()[]`, unique in the request.
    pub name: String,
    /// The bytes.
    pub source: Source<'a>,
    /// What it is about, for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Cow<'a, str>>,
    /// Whether the answer is to cite it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

/// Whether an answer is to cite something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CitationsConfig {
    /// Whether it is.
    pub enabled: bool,
}

/// Something that was found.
#[derive(Clone, Debug, Serialize)]
pub struct SearchResultBlock<'a> {
    /// Where: a URL or any other name.
    pub source: Cow<'a, str>,
    /// Its title.
    pub title: Cow<'a, str>,
    /// What it says, in pieces that can be cited.
    pub content: Vec<TextPiece<'a>>,
    /// Whether the answer is to cite it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

/// A piece of text.
#[derive(Clone, Debug, Serialize)]
pub struct TextPiece<'a> {
    /// The text.
    pub text: Cow<'a, str>,
}

/// Where bytes are.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source<'a> {
    /// Standard base64 with padding.
    Bytes(Cow<'a, str>),
    /// An object in S3 that the caller's role may read.
    S3Location(S3Location<'a>),
    /// A document's text as such.
    Text(Cow<'a, str>),
    /// A document's text in pieces that can be cited.
    Content(Vec<TextPiece<'a>>),
}

/// An object in S3.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Location<'a> {
    /// `s3://bucket/key`.
    pub uri: Cow<'a, str>,
    /// Account id of the bucket's owner when it is another account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_owner: Option<Cow<'a, str>>,
}

/// A call of a tool.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseBlock<'a> {
    /// `[a-zA-Z0-9_.:-]{1,64}`.
    pub tool_use_id: Cow<'a, str>,
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: Cow<'a, str>,
    /// A JSON object, as text.
    pub input: Cow<'a, RawValue>,
}

/// What a call gave.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultBlock<'a> {
    /// The id of the call.
    pub tool_use_id: Cow<'a, str>,
    /// May be empty.
    pub content: Vec<ToolResultContent<'a>>,
    /// Only Claude and Nova take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ToolStatus>,
}

/// An element of a tool result.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolResultContent<'a> {
    /// A JSON object; anything else goes as text.
    Json(Cow<'a, RawValue>),
    /// Plain text.
    Text(Cow<'a, str>),
    /// A picture.
    Image(MediaBlock<'a>),
    /// A document.
    Document(DocumentBlock<'a>),
    /// A video.
    Video(MediaBlock<'a>),
    /// Something that was found, to be cited.
    SearchResult(SearchResultBlock<'a>),
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolStatus {
    /// It worked.
    Success,
    /// It did not.
    Error,
}

/// Text marked for a guardrail.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardContent<'a> {
    /// The text.
    Text(GuardText<'a>),
}

/// Text and what it is to a guardrail.
#[derive(Clone, Debug, Serialize)]
pub struct GuardText<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// `grounding_source`, `query`, `guard_content`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub qualifiers: Vec<Cow<'a, str>>,
}

/// Marks the end of a prefix to cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CachePoint {
    /// Always `default`.
    #[serde(rename = "type")]
    pub kind: CachePointKind,
    /// `5m` or `1h`; absent: five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<&'static str>,
}

impl CachePoint {
    /// A cache point with a lifetime, or with the default of five minutes.
    pub const fn new(ttl: Option<&'static str>) -> Self {
        Self {
            kind: CachePointKind::Default,
            ttl,
        }
    }
}

/// Kind of a cache point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CachePointKind {
    /// The only one there is.
    Default,
}

/// Reasoning of an earlier turn, to be replayed bit for bit.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningContent<'a> {
    /// Readable reasoning with its signature.
    ReasoningText(ReasoningText<'a>),
    /// Base64 of encrypted reasoning.
    RedactedContent(Cow<'a, str>),
}

/// Reasoning text and the signature over it.
#[derive(Clone, Debug, Serialize)]
pub struct ReasoningText<'a> {
    /// May be empty when only the signature was given.
    pub text: Cow<'a, str>,
    /// Proof that the model wrote the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Cow<'a, str>>,
}

/// One element of `system`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemBlock<'a> {
    /// Plain text.
    Text(Cow<'a, str>),
    /// Text that a guardrail is to look at.
    GuardContent(GuardContent<'a>),
    /// Everything before this is to be cached.
    CachePoint(CachePoint),
}
