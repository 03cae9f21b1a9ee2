//! Wire types of Converse and ConverseStream, own ones so that key order and raw JSON survive.
//!
//! The request side only serializes and borrows from the client's body where it can: a data URI of
//! some megabytes is copied once, into the upstream body. Schemas and tool arguments are raw JSON
//! text, never parsed. The response side only deserializes, ignores what it does not know (Bedrock
//! adds fields and padding without notice) and keeps the native stop reason. Which fields a model
//! accepts is not decided here. Specification:
//! <https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html>.

mod content;
mod json_str;
mod request;
mod response;
mod stream;

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
    CitationsContent, CitedText, ConverseResponse, ResponseBlock, ResponseMessage, ResponseOutput,
    ResponseReasoning, ResponseReasoningText, ResponseToolUse, StopReason, TierUsed, TokenUsage,
};
pub use stream::{
    BlockDelta, BlockStart, Delta, EventError, MessageStop, Metadata, ReasoningDelta, Start,
    StreamEvent, ToolUseDelta, ToolUseStart,
};
