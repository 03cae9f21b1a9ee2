//! The request body that Converse and ConverseStream share.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::content::{CachePoint, ContentBlock, SystemBlock};

/// The request body. Fields serialize in declaration order, so equal requests give equal bytes.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseRequest<'a> {
    /// The conversation; roles alternate.
    pub messages: Vec<Message<'a>>,
    /// The system prompt.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemBlock<'a>>,
    /// Sampling parameters.
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    pub inference_config: InferenceConfig<'a>,
    /// Tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// A guardrail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail_config: Option<GuardrailConfig<'a>>,
    /// Model-specific fields.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub additional_model_request_fields: Map<String, Value>,
    /// JSON pointers to fields of the model's own response to return.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_model_response_field_paths: Vec<Cow<'a, str>>,
    /// Values of prompt variables, if the model id is the ARN of a prompt.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub prompt_variables: Map<String, Value>,
    /// At most 16 key-value pairs for the invocation log.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub request_metadata: Map<String, Value>,
    /// Latency option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_config: Option<PerformanceConfig<'a>>,
    /// Service tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier<'a>>,
    /// Structured output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig<'a>>,
}

/// A turn.
#[derive(Clone, Debug, Serialize)]
pub struct Message<'a> {
    /// Author of the message.
    pub role: Role,
    /// The content; never empty.
    pub content: Vec<ContentBlock<'a>>,
}

/// Author of the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The user; also the author of tool results.
    User,
    /// The model.
    Assistant,
}

/// Sampling parameters that every model has.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceConfig<'a> {
    /// At least 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u64>,
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0–1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Non-empty strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<Cow<'a, str>>,
}

impl InferenceConfig<'_> {
    /// Whether no parameter is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Tools and the tool choice.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    /// At least one.
    pub tools: Vec<Tool<'a>>,
    /// The model decides if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
}

/// One element of `tools`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool<'a> {
    /// A tool of the client.
    ToolSpec(ToolSpec<'a>),
    /// A tool that Bedrock runs.
    SystemTool(SpecificTool<'a>),
    /// Everything before this is to be cached.
    CachePoint(CachePoint),
}

/// A tool of the client.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolSpec<'a> {
    /// `[a-zA-Z0-9_-]{1,64}`.
    pub name: Cow<'a, str>,
    /// Never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
    /// The schema of the arguments.
    pub input_schema: InputSchema<'a>,
    /// Whether arguments always match the schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// The schema of a tool's arguments.
#[derive(Clone, Debug, Serialize)]
pub struct InputSchema<'a> {
    /// JSON Schema of an object, as text.
    pub json: Cow<'a, RawValue>,
}

/// The tool to call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto(Empty),
    /// The model calls at least one tool.
    Any(Empty),
    /// The model calls this tool.
    Tool(SpecificTool<'a>),
}

/// Serializes as `{}`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// A tool by name.
#[derive(Clone, Debug, Serialize)]
pub struct SpecificTool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
}

/// A guardrail and its settings.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailConfig<'a> {
    /// Id or ARN.
    pub guardrail_identifier: Cow<'a, str>,
    /// A number, or `DRAFT`.
    pub guardrail_version: Cow<'a, str>,
    /// `enabled`, `disabled`, `enabled_full`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trace: Option<Cow<'a, str>>,
    /// `sync` or `async`; ConverseStream only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream_processing_mode: Option<Cow<'a, str>>,
}

/// Latency option.
#[derive(Clone, Debug, Serialize)]
pub struct PerformanceConfig<'a> {
    /// `standard` or `optimized`.
    pub latency: Cow<'a, str>,
}

/// Service tier.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceTier<'a> {
    /// `default`, `priority`, `flex`, `reserved`.
    #[serde(rename = "type")]
    pub kind: Cow<'a, str>,
}

/// Structured output.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfig<'a> {
    /// The format of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_format: Option<TextFormat<'a>>,
}

/// The format of the text.
#[derive(Clone, Debug, Serialize)]
pub struct TextFormat<'a> {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The schema.
    pub structure: TextFormatStructure<'a>,
}

/// The structure of the text.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TextFormatStructure<'a> {
    /// A JSON Schema.
    JsonSchema(JsonSchema<'a>),
}

/// A JSON Schema for the response.
#[derive(Clone, Debug, Serialize)]
pub struct JsonSchema<'a> {
    /// The schema as JSON text.
    pub schema: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// The purpose of the schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
}
