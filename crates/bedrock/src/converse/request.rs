//! The request body of Converse and ConverseStream (they are the same).

use std::borrow::Cow;

use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};

use super::content::{CachePoint, ContentBlock, SystemBlock};

/// The whole body. Fields serialize in the order written here, so equal requests give equal bytes.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseRequest<'a> {
    /// The conversation; roles alternate.
    pub messages: Vec<Message<'a>>,
    /// Instructions.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemBlock<'a>>,
    /// Sampling.
    #[serde(skip_serializing_if = "InferenceConfig::is_empty")]
    pub inference_config: InferenceConfig<'a>,
    /// Tools.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig<'a>>,
    /// A guardrail.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail_config: Option<GuardrailConfig<'a>>,
    /// What only this model knows.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub additional_model_request_fields: Map<String, Value>,
    /// JSON pointers into the model's own response to return.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub additional_model_response_field_paths: Vec<Cow<'a, str>>,
    /// Values of a prompt's variables, when the model id is a prompt's ARN.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub prompt_variables: Map<String, Value>,
    /// At most 16 pairs for the invocation log.
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
    /// Who speaks.
    pub role: Role,
    /// What is said; never empty.
    pub content: Vec<ContentBlock<'a>>,
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The person, and results of tools.
    User,
    /// The model.
    Assistant,
}

/// Sampling parameters that all models share.
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
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Tools and which of them to call.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig<'a> {
    /// At least one.
    pub tools: Vec<Tool<'a>>,
    /// Absent: the model decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice<'a>>,
}

/// One element of `tools`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Tool<'a> {
    /// A tool of the client.
    ToolSpec(ToolSpec<'a>),
    /// A tool that Bedrock runs itself.
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
    /// Schema of the arguments.
    pub input_schema: InputSchema<'a>,
    /// Arguments follow the schema exactly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// Schema of a tool's arguments.
#[derive(Clone, Debug, Serialize)]
pub struct InputSchema<'a> {
    /// A JSON Schema whose root is an object, as text.
    pub json: Cow<'a, RawValue>,
}

/// Which tool to call.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ToolChoice<'a> {
    /// The model decides.
    Auto(Empty),
    /// Some tool.
    Any(Empty),
    /// This tool.
    Tool(SpecificTool<'a>),
}

/// `{}` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Empty {}

/// A tool by name.
#[derive(Clone, Debug, Serialize)]
pub struct SpecificTool<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
}

/// A guardrail and how much it tells.
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
    /// Format of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text_format: Option<TextFormat<'a>>,
}

/// Format of the text.
#[derive(Clone, Debug, Serialize)]
pub struct TextFormat<'a> {
    /// `json_schema`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The schema.
    pub structure: TextFormatStructure<'a>,
}

/// Shape of the text.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum TextFormatStructure<'a> {
    /// A JSON Schema.
    JsonSchema(JsonSchema<'a>),
}

/// A JSON Schema for the answer.
#[derive(Clone, Debug, Serialize)]
pub struct JsonSchema<'a> {
    /// The schema as a string of JSON.
    pub schema: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Cow<'a, str>>,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Cow<'a, str>>,
}
