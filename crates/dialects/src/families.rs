//! What each model family takes, as data: `families/builtin.yaml` plus overrides from config.
//!
//! The table is compiled once when the config is loaded; a request looks its model up by id and
//! gets shared facts. Version numbers are never parsed out of ids: patterns name them. What the
//! facts lead to is each dialect's business.

mod facts;
mod ids;
mod surfaces;
mod table;

pub use bedrock::surface::Surface;
pub use facts::{
    CacheFacts, Choice, Effort, EmbeddingBody, EmbeddingShape, FirstMessage, ImageBody, ImageShape,
    ImageSizes, Limits, Media, MediaKind, ModelFacts, ParallelOff, ReasoningFacts, ReasoningStyle,
    Replay, RerankBody, RerankShape, SamplingFacts, SchemaMode, ToolFacts, ToolIdRule,
    ToolResultFacts, TopK,
};
pub use ids::{base_model_id, is_bare, provider};
pub use surfaces::Surfaces;
pub use table::{FamilyError, FamilyTable};
