//! Content blocks of a request, in `messages[].content`, `system` and tool results.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use super::{Text, text};

/// One element of a message's `content`; an externally tagged union, as in JSON.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ContentBlock<'a> {
    /// Plain text; Bedrock rejects blank text.
    Text(Text<'a>),
    /// An image.
    Image(MediaBlock<'a>),
    /// A named document.
    Document(DocumentBlock<'a>),
    /// A video.
    Video(MediaBlock<'a>),
    /// Audio.
    Audio(MediaBlock<'a>),
    /// A tool call by the model.
    ToolUse(ToolUseBlock<'a>),
    /// The result of a tool call.
    ToolResult(ToolResultBlock<'a>),
    /// Text for a guardrail to evaluate.
    GuardContent(GuardContent<'a>),
    /// A cache point: everything before it is cached.
    CachePoint(CachePoint),
    /// Reasoning of an earlier turn, replayed.
    ReasoningContent(ReasoningContent<'a>),
    /// A search result that can be cited.
    SearchResult(SearchResultBlock<'a>),
}

/// Image, video or audio.
#[derive(Clone, Debug, Serialize)]
pub struct MediaBlock<'a> {
    /// `png`, `mp4`, `wav`, …
    pub format: &'static str,
    /// Location of the bytes.
    pub source: Source<'a>,
}

/// A document.
#[derive(Clone, Debug, Serialize)]
pub struct DocumentBlock<'a> {
    /// `pdf`, `csv`, `txt`, …
    pub format: &'static str,
    /// 1–200 alphanumeric characters, single spaces and `-()[]`; unique in the request.
    pub name: String,
    /// Location of the bytes.
    pub source: Source<'a>,
    /// Information about the document for the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<Cow<'a, str>>,
    /// Whether the response cites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

/// Citation settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CitationsConfig {
    /// Whether the response contains citations.
    pub enabled: bool,
}

/// A search result.
#[derive(Clone, Debug, Serialize)]
pub struct SearchResultBlock<'a> {
    /// A URL or another name of the source.
    pub source: Cow<'a, str>,
    /// Its title.
    pub title: Cow<'a, str>,
    /// The text, in pieces that can be cited.
    pub content: Vec<TextPiece<'a>>,
    /// Whether the response cites it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub citations: Option<CitationsConfig>,
}

/// A piece of text.
#[derive(Clone, Debug, Serialize)]
pub struct TextPiece<'a> {
    /// The text.
    pub text: Cow<'a, str>,
}

/// Location of bytes.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Source<'a> {
    /// Standard base64 with padding.
    Bytes(#[serde(serialize_with = "text::serialize")] Cow<'a, str>),
    /// An S3 object that the caller's role can read.
    S3Location(S3Location<'a>),
    /// A document's text.
    Text(Text<'a>),
    /// A document's text in pieces that can be cited.
    Content(Vec<TextPiece<'a>>),
}

/// An S3 object.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Location<'a> {
    /// `s3://bucket/key`.
    pub uri: Cow<'a, str>,
    /// Account id of the bucket's owner, if it is another account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket_owner: Option<Cow<'a, str>>,
}

/// A tool call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolUseBlock<'a> {
    /// `[a-zA-Z0-9_.:-]{1,64}`.
    pub tool_use_id: Cow<'a, str>,
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: Cow<'a, str>,
    /// A JSON object as text.
    pub input: Cow<'a, RawValue>,
}

/// The result of a tool call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolResultBlock<'a> {
    /// Id of the tool call.
    pub tool_use_id: Cow<'a, str>,
    /// May be empty.
    pub content: Vec<ToolResultContent<'a>>,
    /// Only Claude and Nova support it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<ToolStatus>,
}

/// An element of a tool result.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolResultContent<'a> {
    /// A JSON object; other values are sent as text.
    Json(Cow<'a, RawValue>),
    /// Plain text.
    Text(Text<'a>),
    /// An image.
    Image(MediaBlock<'a>),
    /// A document.
    Document(DocumentBlock<'a>),
    /// A video.
    Video(MediaBlock<'a>),
    /// A search result that can be cited.
    SearchResult(SearchResultBlock<'a>),
}

/// Outcome of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ToolStatus {
    /// The call succeeded.
    Success,
    /// The call failed.
    Error,
}

/// Text marked for a guardrail.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum GuardContent<'a> {
    /// The text.
    Text(GuardText<'a>),
}

/// Text and its role for a guardrail.
#[derive(Clone, Debug, Serialize)]
pub struct GuardText<'a> {
    /// The text.
    pub text: Cow<'a, str>,
    /// `grounding_source`, `query`, `guard_content`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub qualifiers: Vec<Cow<'a, str>>,
}

/// The end of a prefix to cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CachePoint {
    /// Always `default`.
    #[serde(rename = "type")]
    pub kind: CachePointKind,
    /// `5m` or `1h`; five minutes if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<&'static str>,
}

impl CachePoint {
    /// A cache point with a lifetime; `None` is the default of five minutes.
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
    /// The only kind.
    Default,
}

/// Reasoning of an earlier turn, replayed bit for bit.
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
    /// Empty if only the signature is present.
    pub text: Text<'a>,
    /// Proves that the model wrote the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Cow<'a, str>>,
}

/// One element of `system`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SystemBlock<'a> {
    /// Plain text.
    Text(Text<'a>),
    /// Text for a guardrail to evaluate.
    GuardContent(GuardContent<'a>),
    /// A cache point: everything before it is cached.
    CachePoint(CachePoint),
}
