//! The capabilities of each model family: `families/builtin.yaml` with overrides from the configuration.
//!
//! The table is built when the configuration is loaded; a request looks up its model by id and gets shared
//! capabilities. Patterns match version numbers; ids are not parsed.

mod apis;
mod capabilities;
mod ids;
mod table;

pub use apis::BedrockApis;
pub use bedrock::apis::BedrockApi;
pub use capabilities::{
    CacheCapabilities, Choice, Effort, EmbeddingBody, EmbeddingShape, FirstMessage, ImageBody,
    ImageShape, ImageSizes, Limits, Media, MediaKind, ModelCapabilities, ParallelOff,
    ReasoningCapabilities, ReasoningStyle, Replay, RerankBody, RerankShape, SamplingCapabilities,
    SchemaMode, ToolCapabilities, ToolIdRule, ToolResultCapabilities, TopK,
};
pub use ids::{base_model_id, is_bare, provider};
pub use table::{FamilyError, FamilyTable};
