//! The capabilities of a model family, with the names of the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::apis::BedrockApis;

/// The capabilities of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct ModelCapabilities {
    /// Key of the family in the table.
    pub family: String,
    /// Name for humans.
    pub title: String,
    /// The Bedrock API that serves it, by dialect.
    pub apis: BedrockApis,
    /// Whether it supports a system prompt.
    pub system: bool,
    /// Whether Claude's own API accepts the role `system` in messages.
    pub system_role: bool,
    /// Role of the first message.
    pub first_message: FirstMessage,
    /// Whether it can continue a last message of the assistant.
    pub prefill: bool,
    /// Content that messages may have.
    pub media: Media,
    /// Tool results.
    pub tool_result: ToolResultCapabilities,
    /// Tools.
    pub tools: ToolCapabilities,
    /// Sampling.
    pub sampling: SamplingCapabilities,
    /// Reasoning.
    pub reasoning: ReasoningCapabilities,
    /// Prompt caching.
    pub cache: CacheCapabilities,
    /// How structured output works.
    pub json_schema: SchemaMode,
    /// Whether the text of a stop sequence is returned at `/delta/stop_sequence`.
    pub stop_sequence_path: bool,
    /// Limits of size and number.
    pub limits: Limits,
    /// Whether documents and search results can be cited.
    pub citations: bool,
    /// Anthropic's beta flags (values of `anthropic-beta`) that Bedrock supports for it; empty except for Claude.
    pub betas: Vec<String>,
    /// Beta flags that Bedrock supports by InvokeModel only, and rejects in Converse.
    pub native_betas: Vec<String>,
    /// InvokeModel body for embeddings, if supported.
    pub embedding: Option<EmbeddingShape>,
    /// InvokeModel body for images, if supported.
    pub image: Option<ImageShape>,
    /// InvokeModel body for ranking, if supported.
    pub rerank: Option<RerankShape>,
}

/// Role of the first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FirstMessage {
    /// Either role.
    Any,
    /// The user.
    User,
}

/// A kind of content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MediaKind {
    /// Text.
    Text,
    /// png, jpeg, gif, webp.
    Image,
    /// pdf, csv, txt, …
    Document,
    /// A document that is text: csv, html, txt, md.
    TextDocument,
    /// mp4, webm, …
    Video,
    /// wav, mp3, …
    Audio,
}

/// Content that messages may have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct Media {
    /// Images.
    pub image: bool,
    /// Documents.
    pub document: bool,
    /// Videos.
    pub video: bool,
    /// Audio.
    pub audio: bool,
    /// Kinds that may also be S3 objects.
    pub s3: Vec<MediaKind>,
}

impl Media {
    /// Whether a kind is supported.
    pub fn supports(&self, kind: MediaKind) -> bool {
        match kind {
            MediaKind::Text => true,
            MediaKind::Image => self.image,
            MediaKind::Document | MediaKind::TextDocument => self.document,
            MediaKind::Video => self.video,
            MediaKind::Audio => self.audio,
        }
    }
}

/// Tool results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ToolResultCapabilities {
    /// Kinds that a result may contain besides text.
    pub media: Vec<MediaKind>,
    /// Kinds that may be in the same message as results.
    pub beside: Vec<MediaKind>,
    /// Whether `status` is supported.
    pub status: bool,
    /// Whether JSON objects are sent as JSON instead of text.
    pub json: bool,
}

/// Tools.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct ToolCapabilities {
    /// Whether tools are supported.
    pub supported: bool,
    /// Supported values of `toolChoice`.
    pub choice: Vec<Choice>,
    /// Whether ConverseStream supports tools.
    pub streamed: bool,
    /// Whether `toolSpec.strict` is supported.
    pub strict: bool,
    /// How to disable parallel calls.
    pub parallel_off: ParallelOff,
    /// Format of call ids.
    pub id: ToolIdRule,
    /// Whether the model may write the tokens of tool calls into its text (Kimi, DeepSeek).
    pub leaks_call_tokens: bool,
    /// Whether a schema may have `anyOf`, `oneOf` and `allOf` at its root.
    pub root_unions: bool,
    /// Whether properties at the root of a schema may have any name.
    pub any_property_name: bool,
    /// Whether Bedrock's Responses endpoint has tools in namespaces for the model.
    pub namespaces: bool,
}

/// A kind of tool choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// The model decides.
    Auto,
    /// At least one tool.
    Any,
    /// A tool by name.
    Tool,
}

/// How to disable parallel calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParallelOff {
    /// Not supported.
    Never,
    /// `tool_choice.disable_parallel_tool_use` among the additional fields.
    ToolChoiceField,
}

/// Format of call ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolIdRule {
    /// `[a-zA-Z0-9_.:-]{1,64}`.
    Converse,
    /// Nine alphanumeric characters.
    NineAlphanumerics,
}

/// Sampling.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct SamplingCapabilities {
    /// Whether `temperature` is supported.
    pub temperature: bool,
    /// Whether `topP` is supported.
    pub top_p: bool,
    /// Whether both are supported at once.
    pub both: bool,
    /// Field for top-k.
    pub top_k: TopK,
    /// Maximum number of stop sequences.
    pub stop_max: usize,
    /// Whether stop sequences of whitespace only are supported.
    pub stop_whitespace: bool,
}

/// Model-specific field for top-k.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TopK {
    /// Not supported.
    None,
    /// `top_k`.
    Field,
    /// `inferenceConfig.topK`.
    InferenceConfig,
}

/// Reasoning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct ReasoningCapabilities {
    /// How to enable reasoning.
    pub style: ReasoningStyle,
    /// OpenAI's `reasoning_effort` to the family's own effort or budget of tokens.
    pub efforts: BTreeMap<String, Effort>,
    /// Whether Anthropic's `thinking` with a budget of tokens is supported.
    pub budget: bool,
    /// Replay of reasoning of earlier turns.
    pub replay: Replay,
    /// Whether temperature, top-p and top-k are rejected while reasoning.
    pub drops_sampling: bool,
    /// The family's own efforts that do not support sampling and a token limit.
    pub drops_limits_at: Vec<String>,
    /// Whether a turn with tool calls has to start with its signed reasoning.
    pub needs_replay: bool,
    /// Whether a tool may be forced while reasoning.
    pub forced_tool: bool,
    /// Whether the text of the reasoning has to be requested by `thinking.display`.
    pub display: bool,
    /// Whether Bedrock's Chat Completions API returns reasoning as `<reasoning>…</reasoning>` in the text.
    pub tags: bool,
}

/// The model-specific fields that enable reasoning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningStyle {
    /// No reasoning, or no settings.
    None,
    /// `thinking: {type: enabled, budget_tokens}`.
    Budget,
    /// `thinking: {type: adaptive}` and `output_config.effort`.
    Adaptive,
    /// `reasoningConfig: {type: enabled, maxReasoningEffort}`.
    ReasoningConfigObject,
    /// `reasoning_config: effort`.
    ReasoningConfigWord,
    /// `reasoning_effort: effort`.
    ReasoningEffort,
    /// `reasoning: {effort}`.
    ReasoningObject,
}

/// An effort of a family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Effort {
    /// A budget of tokens.
    Budget(u64),
    /// A named effort.
    Word(String),
}

impl Effort {
    /// As JSON.
    pub fn to_value(&self) -> Value {
        match self {
            Self::Budget(tokens) => Value::from(*tokens),
            Self::Word(word) => Value::from(word.as_str()),
        }
    }
}

/// Replay of reasoning of earlier turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replay {
    /// Not supported.
    Never,
    /// Signed or redacted blocks only.
    Signed,
}

/// Prompt caching.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct CacheCapabilities {
    /// In `system`.
    pub system: bool,
    /// In messages.
    pub messages: bool,
    /// In `tools`.
    pub tools: bool,
    /// Directly after a tool result.
    pub after_tool_result: bool,
    /// Lifetimes other than the default of five minutes.
    pub ttl: Vec<String>,
    /// Maximum number of cache points per request.
    pub max_points: usize,
}

/// How structured output works.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SchemaMode {
    /// `outputConfig.textFormat`.
    Native,
    /// A forced tool whose arguments become the text.
    Tool,
    /// Instructions in the system prompt.
    Prompt,
}

/// Limits of size and number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Maximum number of images per request.
    pub images: usize,
    /// Maximum size of an image in bytes.
    pub image_bytes: u64,
    /// Maximum number of documents per request.
    pub documents: usize,
    /// Maximum size of a document in bytes.
    pub document_bytes: u64,
    /// Maximum number of output tokens; `None` if it is not known.
    pub output_tokens: Option<u64>,
}

/// InvokeModel body for embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmbeddingShape {
    /// Format of the body.
    pub body: EmbeddingBody,
    /// Maximum number of texts per call.
    pub batch: usize,
    /// Supported vector lengths; empty if the length is fixed.
    pub dimensions: Vec<u32>,
}

/// Format of an embedding body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EmbeddingBody {
    /// `inputText`.
    TitanText,
    /// `inputText` with `embeddingConfig`.
    TitanImage,
    /// `texts`, `input_type`.
    Cohere,
    /// `singleEmbeddingParams`.
    Nova,
}

/// InvokeModel body for images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageShape {
    /// Format of the body.
    pub body: ImageBody,
    /// Maximum number of images per call.
    pub per_call: u64,
    /// Maximum seed.
    pub most_seed: u64,
    /// Maximum length of the prompt, in characters.
    pub prompt_characters: usize,
    /// Supported image formats.
    pub formats: Vec<String>,
    /// Supported sizes.
    pub sizes: ImageSizes,
}

/// Format of an image body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageBody {
    /// `taskType`, `imageGenerationConfig`.
    Amazon,
    /// `prompt`, `aspect_ratio`.
    Stability,
}

/// Supported image sizes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSizes {
    /// Any size whose sides, in pixels, are in a range.
    Sides {
        /// Minimum length of a side.
        least: u32,
        /// Maximum length of a side.
        most: u32,
        /// A side is a multiple of this.
        step: u32,
    },
    /// A list of sizes, such as `1024x1024`.
    Listed(Vec<String>),
    /// The model's own sizes with these aspect ratios, such as `16:9`.
    Ratios(Vec<String>),
}

/// InvokeModel body for ranking.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RerankShape {
    /// Format of the body.
    pub body: RerankBody,
    /// Maximum number of documents per call.
    pub documents: usize,
}

/// Format of a ranking body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RerankBody {
    /// With `api_version`.
    Cohere,
    /// Without `api_version`.
    Amazon,
}
