//! Wire types of Converse and ConverseStream. They are our own types because they preserve key order and raw JSON.
//!
//! Request types only serialize, and borrow from the client's body where possible: a data URI of several
//! megabytes is copied once, into the upstream body. Schemas and tool arguments are raw JSON text and are never
//! parsed. Response types only deserialize, ignore unknown fields (Bedrock adds fields and padding without
//! notice) and keep Bedrock's stop reason. These types do not check which fields a model supports. Specification:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

mod content;
mod json_str;
mod request;
mod response;
mod stream;
pub mod text;

use serde::Deserialize;

pub use content::{
    CachePoint, CachePointKind, CitationsConfig, ContentBlock, DocumentBlock, GuardContent,
    GuardText, MediaBlock, ReasoningContent, ReasoningText, S3Location, SearchResultBlock, Source,
    SystemBlock, TextPiece, ToolResultBlock, ToolResultContent, ToolStatus, ToolUseBlock,
};
pub use json_str::JsonStr;
pub use request::{
    ConverseRequest, Empty, GuardrailConfig, InferenceConfig, InputSchema, JsonSchema, Message,
    OutputConfig, PerformanceConfig, Role, ServiceTier, SpecificTool, TextFormat,
    TextFormatStructure, Tool, ToolChoice, ToolConfig, ToolSpec,
};
pub use response::{
    BilledTier, CitationsContent, CitedText, ConverseResponse, ResponseBlock, ResponseMessage,
    ResponseOutput, ResponseReasoning, ResponseReasoningText, ResponseToolUse, StopReason,
    TierUsed, TokenUsage,
};
pub use stream::{
    BlockDelta, BlockStart, Delta, EventError, MessageStop, Metadata, ReasoningDelta, Start,
    StreamEvent, ToolUseDelta, ToolUseStart,
};
pub use text::Text;

/// Reads JSON. The encoding is checked at once; `serde_json` would check each string of a slice.
///
/// # Errors
/// When the bytes are not JSON of this type.
pub fn from_json<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> serde_json::Result<T> {
    match std::str::from_utf8(bytes) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(bytes),
    }
}
