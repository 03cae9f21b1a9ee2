//! The capabilities about a family, in the words of the table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::apis::BedrockApis;

/// Everything the translation has to know about a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct ModelCapabilities {
    /// Key of the family in the table.
    pub family: String,
    /// Name for people.
    pub title: String,
    /// Which API of Bedrock serves it, by the client's dialect.
    pub apis: BedrockApis,
    /// Whether it takes a system prompt.
    pub system: bool,
    /// Who may speak first.
    pub first_message: FirstMessage,
    /// Whether the last message may be the assistant's, to be continued.
    pub prefill: bool,
    /// What may stand in messages.
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
    /// How an answer is made to follow a JSON Schema.
    pub json_schema: SchemaMode,
    /// Whether the text of a stop sequence is returned at `/delta/stop_sequence`.
    pub stop_sequence_path: bool,
    /// Sizes and counts.
    pub limits: Limits,
    /// Whether documents and search results can be cited.
    pub citations: bool,
    /// Beta features of Anthropic's (values of `anthropic-beta`) that Bedrock takes for it; none but
    /// Claude has any.
    pub betas: Vec<String>,
    /// Body of InvokeModel for embeddings, when it makes those.
    pub embedding: Option<EmbeddingShape>,
    /// Body of InvokeModel for pictures, when it makes those.
    pub image: Option<ImageShape>,
    /// Body of InvokeModel for rankings, when it makes those.
    pub rerank: Option<RerankShape>,
}

/// Who may speak first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FirstMessage {
    /// Either.
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

/// What may stand in messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "a table of independent capabilities"
)]
pub struct Media {
    /// Pictures.
    pub image: bool,
    /// Documents.
    pub document: bool,
    /// Videos.
    pub video: bool,
    /// Sounds.
    pub audio: bool,
    /// Kinds that may also be given as an object in S3.
    pub s3: Vec<MediaKind>,
}

impl Media {
    /// Whether a kind is taken at all.
    pub fn takes(&self, kind: MediaKind) -> bool {
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
    /// Kinds a result may hold besides text.
    pub media: Vec<MediaKind>,
    /// Kinds that may stand beside results in one message.
    pub beside: Vec<MediaKind>,
    /// Whether `status` is taken.
    pub status: bool,
    /// Whether a JSON object is better given as such than as text.
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
    /// Whether it takes tools at all.
    pub supported: bool,
    /// What `toolChoice` may be.
    pub choice: Vec<Choice>,
    /// Whether ConverseStream serves requests with tools.
    pub streamed: bool,
    /// Whether `toolSpec.strict` is taken.
    pub strict: bool,
    /// How parallel calls are switched off.
    pub parallel_off: ParallelOff,
    /// What an id of a call may be.
    pub id: ToolIdRule,
    /// Whether the model at times writes its call tokens into the text (Kimi).
    pub leaks_call_tokens: bool,
}

/// A kind of tool choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Choice {
    /// The model decides.
    Auto,
    /// Some tool.
    Any,
    /// A tool by name.
    Tool,
}

/// How parallel calls are switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ParallelOff {
    /// Not at all.
    Never,
    /// `tool_choice.disable_parallel_tool_use` among the additional fields.
    ToolChoiceField,
}

/// What an id of a call may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolIdRule {
    /// `[a-zA-Z0-9_.:-]{1,64}`.
    Converse,
    /// Nine letters and digits.
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
    /// Whether `temperature` is taken.
    pub temperature: bool,
    /// Whether `topP` is taken.
    pub top_p: bool,
    /// Whether both are taken at once.
    pub both: bool,
    /// Where top-k goes.
    pub top_k: TopK,
    /// Most stop sequences.
    pub stop_max: usize,
    /// Whether a stop sequence may be whitespace only.
    pub stop_whitespace: bool,
}

/// Where top-k goes among the additional fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum TopK {
    /// Nowhere.
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
    /// How it is asked for.
    pub style: ReasoningStyle,
    /// OpenAI's `reasoning_effort` to the family's own word or budget of tokens.
    pub efforts: BTreeMap<String, Effort>,
    /// Whether `thinking` with a budget of tokens, as clients of Claude send it, is taken.
    pub budget: bool,
    /// Reasoning of earlier turns.
    pub replay: Replay,
    /// Whether temperature, top-p and top-k are refused while reasoning.
    pub drops_sampling: bool,
    /// Efforts (the family's own words) that refuse sampling and a limit of tokens.
    pub drops_limits_at: Vec<String>,
    /// Whether a turn that called tools has to begin with its signed reasoning.
    pub needs_replay: bool,
    /// Whether a tool may be forced while reasoning.
    pub forced_tool: bool,
}

/// How reasoning is asked for, always among the additional fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasoningStyle {
    /// Not at all, or it cannot be set.
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
}

/// What an effort means to a family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Effort {
    /// A budget of tokens.
    Budget(u64),
    /// A word.
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

/// Reasoning of earlier turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Replay {
    /// Not taken.
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
    /// Right after a tool result.
    pub after_tool_result: bool,
    /// Lifetimes besides the default of five minutes.
    pub ttl: Vec<String>,
    /// Most cache points in a request.
    pub max_points: usize,
}

/// How an answer is made to follow a JSON Schema.
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

/// Sizes and counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Limits {
    /// Pictures in a request.
    pub images: usize,
    /// Bytes of a picture.
    pub image_bytes: u64,
    /// Documents in a request.
    pub documents: usize,
    /// Bytes of a document.
    pub document_bytes: u64,
}

/// Body of InvokeModel for embeddings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EmbeddingShape {
    /// Whose body it is.
    pub body: EmbeddingBody,
    /// Texts a call.
    pub batch: usize,
    /// Lengths of vector to choose from; empty: not to be chosen.
    pub dimensions: Vec<u32>,
}

/// Whose body an embedding call has.
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

/// Body of InvokeModel for pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ImageShape {
    /// Whose body it is.
    pub body: ImageBody,
    /// Pictures a call.
    pub per_call: u64,
    /// Largest seed.
    pub most_seed: u64,
    /// Longest prompt.
    pub prompt_characters: usize,
    /// Formats of the pictures.
    pub formats: Vec<String>,
    /// What sizes there are.
    pub sizes: ImageSizes,
}

/// Whose body a call for pictures has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageBody {
    /// `taskType`, `imageGenerationConfig`.
    Amazon,
    /// `prompt`, `aspect_ratio`.
    Stability,
}

/// Sizes of pictures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImageSizes {
    /// Any, with sides in pixels from least to most in steps.
    Sides {
        /// Shortest side.
        least: u32,
        /// Longest side.
        most: u32,
        /// What a side is a multiple of.
        step: u32,
    },
    /// These, such as `1024x1024`.
    Listed(Vec<String>),
    /// The model's own, of these ratios, such as `16:9`.
    Ratios(Vec<String>),
}

/// Body of InvokeModel for rankings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RerankShape {
    /// Whose body it is.
    pub body: RerankBody,
    /// Documents a call.
    pub documents: usize,
}

/// Whose body a call for a ranking has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RerankBody {
    /// With `api_version`.
    Cohere,
    /// Without.
    Amazon,
}
