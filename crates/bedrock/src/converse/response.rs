//! The response body of Converse, and the token counts that streams share with it.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The whole body; unknown fields are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseResponse {
    /// What the model said.
    pub output: ResponseOutput,
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// Token counts.
    #[serde(deserialize_with = "null_as_default")]
    pub usage: TokenUsage,
    /// What `additionalModelResponseFieldPaths` asked for.
    pub additional_model_response_fields: Option<Box<RawValue>>,
    /// The tier that really served.
    pub service_tier: Option<TierUsed>,
    /// What a guardrail did.
    pub trace: Option<Box<RawValue>>,
}

/// The tier that served a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TierUsed {
    /// `default`, `priority`, `flex`, `reserved`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A union with one member so far.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseOutput {
    /// The message.
    #[serde(deserialize_with = "null_as_default")]
    pub message: ResponseMessage,
}

/// The model's turn.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseMessage {
    /// In the order the model gave, which is not always reasoning first.
    #[serde(deserialize_with = "null_as_default")]
    pub content: Vec<ResponseBlock>,
}

/// One content block: exactly one field is set, or none when the kind is not known here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseBlock {
    /// Text.
    pub text: Option<String>,
    /// A call of a tool.
    pub tool_use: Option<ResponseToolUse>,
    /// Reasoning.
    pub reasoning_content: Option<ResponseReasoning>,
    /// Text with its sources.
    pub citations_content: Option<CitationsContent>,
    /// The result of a tool that Bedrock ran itself.
    pub tool_result: Option<Box<RawValue>>,
    /// A picture the model made.
    pub image: Option<Box<RawValue>>,
}

/// Text with its sources.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationsContent {
    /// The text, in pieces.
    pub content: Vec<CitedText>,
    /// The sources, as they came.
    pub citations: Option<Box<RawValue>>,
}

/// A piece of cited text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitedText {
    /// The text.
    pub text: Option<String>,
}

/// A call of a tool.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseToolUse {
    /// Id to answer with.
    pub tool_use_id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as text of JSON.
    pub input: Option<Box<RawValue>>,
    /// `server_tool_use`: Bedrock runs it; anything else, or nothing: the client does.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl ResponseToolUse {
    /// Whether Bedrock runs the tool itself, so that it is no call for the client.
    pub fn is_server_side(&self) -> bool {
        self.kind.as_deref() == Some(SERVER_TOOL_USE)
    }
}

/// `toolUse.type` of a tool that Bedrock runs itself.
pub(super) const SERVER_TOOL_USE: &str = "server_tool_use";

/// Reasoning: text or encrypted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseReasoning {
    /// Readable reasoning.
    pub reasoning_text: Option<ResponseReasoningText>,
    /// Base64 of encrypted reasoning.
    pub redacted_content: Option<String>,
}

/// Reasoning text and its signature, if the model signs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseReasoningText {
    /// May be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub text: String,
    /// To be replayed bit for bit.
    pub signature: Option<String>,
}

/// Why the model stopped, as Bedrock says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    /// It was done.
    #[default]
    EndTurn,
    /// It wants tools called.
    ToolUse,
    /// The limit of tokens.
    MaxTokens,
    /// One of the request's stop sequences.
    StopSequence,
    /// A guardrail.
    GuardrailIntervened,
    /// The model's own filter.
    ContentFiltered,
    /// The model wrote something unreadable.
    MalformedModelOutput,
    /// The model wrote an unreadable tool call.
    MalformedToolUse,
    /// The context is full.
    ModelContextWindowExceeded,
    /// One not known here.
    Other(String),
}

impl StopReason {
    /// Bedrock's word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::EndTurn => "end_turn",
            Self::ToolUse => "tool_use",
            Self::MaxTokens => "max_tokens",
            Self::StopSequence => "stop_sequence",
            Self::GuardrailIntervened => "guardrail_intervened",
            Self::ContentFiltered => "content_filtered",
            Self::MalformedModelOutput => "malformed_model_output",
            Self::MalformedToolUse => "malformed_tool_use",
            Self::ModelContextWindowExceeded => "model_context_window_exceeded",
            Self::Other(word) => word,
        }
    }
}

impl From<&str> for StopReason {
    fn from(word: &str) -> Self {
        match word {
            "end_turn" => Self::EndTurn,
            "tool_use" => Self::ToolUse,
            "max_tokens" => Self::MaxTokens,
            "stop_sequence" => Self::StopSequence,
            "guardrail_intervened" => Self::GuardrailIntervened,
            "content_filtered" => Self::ContentFiltered,
            "malformed_model_output" => Self::MalformedModelOutput,
            "malformed_tool_use" => Self::MalformedToolUse,
            "model_context_window_exceeded" => Self::ModelContextWindowExceeded,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl<'de> Deserialize<'de> for StopReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::from(word.as_ref()))
    }
}

/// Token counts. `input_tokens` excludes what was read from or written to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenUsage {
    /// Tokens of the prompt that no cache was involved in.
    #[serde(deserialize_with = "null_as_default")]
    pub input_tokens: u64,
    /// Tokens the model wrote.
    #[serde(deserialize_with = "null_as_default")]
    pub output_tokens: u64,
    /// The sum, as Bedrock counts it.
    #[serde(deserialize_with = "null_as_default")]
    pub total_tokens: u64,
    /// Tokens of the prompt read from the cache.
    #[serde(deserialize_with = "null_as_default")]
    pub cache_read_input_tokens: u64,
    /// Tokens of the prompt written to the cache.
    #[serde(deserialize_with = "null_as_default")]
    pub cache_write_input_tokens: u64,
    /// Tokens of the output that were reasoning, where Bedrock says so.
    pub reasoning_tokens: Option<u64>,
}

impl TokenUsage {
    /// All tokens of the prompt, cached or not.
    pub const fn prompt_tokens(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_read_input_tokens)
            .saturating_add(self.cache_write_input_tokens)
    }
}

/// `null` where a value is expected is as good as no value.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
