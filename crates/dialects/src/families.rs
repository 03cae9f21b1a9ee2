//! What each model family takes, as data: `families/builtin.yaml` plus overrides from config.
//!
//! The table is compiled once when the config is loaded; a request looks its model up by id and
//! gets shared capabilities. Version numbers are never parsed out of ids: patterns name them. What the
//! capabilities lead to is each dialect's business.

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
