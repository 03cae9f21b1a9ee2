//! The response body of Converse, and the token counts that it shares with streams.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The response body; unknown fields are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseResponse {
    /// The model's output.
    pub output: ResponseOutput,
    /// The stop reason.
    pub stop_reason: StopReason,
    /// Token counts.
    #[serde(deserialize_with = "null_as_default")]
    pub usage: TokenUsage,
    /// The fields requested with `additionalModelResponseFieldPaths`.
    pub additional_model_response_fields: Option<Box<RawValue>>,
    /// The service tier that processed the request.
    pub service_tier: Option<TierUsed>,
    /// The guardrail trace.
    pub trace: Option<Box<RawValue>>,
}

/// The service tier that processed a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TierUsed {
    /// `default`, `priority`, `flex`, `reserved`.
    #[serde(rename = "type")]
    pub kind: String,
}

impl TierUsed {
    /// The tier that is billed.
    pub fn billed(&self) -> BilledTier {
        BilledTier::named(&self.kind)
    }
}

/// A union with a single member.
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
    /// Blocks in the model's order; reasoning is not always first.
    #[serde(deserialize_with = "null_as_default")]
    pub content: Vec<ResponseBlock>,
}

/// One content block: exactly one field is set, or none if the kind is unknown.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseBlock {
    /// Text.
    pub text: Option<String>,
    /// A tool call.
    pub tool_use: Option<ResponseToolUse>,
    /// Reasoning.
    pub reasoning_content: Option<ResponseReasoning>,
    /// Text with citations.
    pub citations_content: Option<CitationsContent>,
    /// The result of a tool that Bedrock ran.
    pub tool_result: Option<Box<RawValue>>,
    /// An image that the model generated.
    pub image: Option<Box<RawValue>>,
}

/// Text with citations.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitationsContent {
    /// The text, in pieces.
    pub content: Vec<CitedText>,
    /// The citations as raw JSON.
    pub citations: Option<Box<RawValue>>,
}

/// A piece of cited text.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct CitedText {
    /// The text.
    pub text: Option<String>,
}

/// A tool call.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResponseToolUse {
    /// Id for the tool result.
    pub tool_use_id: String,
    /// Name of the tool.
    pub name: String,
    /// Arguments as JSON text.
    pub input: Option<Box<RawValue>>,
    /// `server_tool_use` if Bedrock runs the tool; otherwise the client runs it.
    #[serde(rename = "type")]
    pub kind: Option<String>,
}

impl ResponseToolUse {
    /// Whether Bedrock runs the tool, so that the client does not see the call.
    pub fn is_server_side(&self) -> bool {
        self.kind.as_deref() == Some(SERVER_TOOL_USE)
    }
}

/// `toolUse.type` of a tool that Bedrock runs.
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

/// Reasoning text and its signature, if any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseReasoningText {
    /// May be empty.
    #[serde(deserialize_with = "null_as_default")]
    pub text: String,
    /// Replayed bit for bit.
    pub signature: Option<String>,
}

/// Bedrock's stop reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StopReason {
    /// The turn is complete.
    #[default]
    EndTurn,
    /// The model calls tools.
    ToolUse,
    /// The limit of tokens was reached.
    MaxTokens,
    /// The output contains one of the request's stop sequences.
    StopSequence,
    /// A guardrail intervened.
    GuardrailIntervened,
    /// The model's own filter intervened.
    ContentFiltered,
    /// The model's output is malformed.
    MalformedModelOutput,
    /// A tool call of the model is malformed.
    MalformedToolUse,
    /// The context window is full.
    ModelContextWindowExceeded,
    /// Another stop reason.
    Other(String),
}

impl StopReason {
    /// The value in Bedrock's API.
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

/// Token counts. `input_tokens` excludes tokens read from or written to the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TokenUsage {
    /// Prompt tokens that were neither read from nor written to the cache.
    #[serde(deserialize_with = "null_as_default")]
    pub input_tokens: u64,
    /// Tokens of the output.
    #[serde(deserialize_with = "null_as_default")]
    pub output_tokens: u64,
    /// The sum as reported by Bedrock.
    #[serde(deserialize_with = "null_as_default")]
    pub total_tokens: u64,
    /// Prompt tokens read from the cache.
    #[serde(deserialize_with = "null_as_default")]
    pub cache_read_input_tokens: u64,
    /// Prompt tokens written to the cache.
    #[serde(deserialize_with = "null_as_default")]
    pub cache_write_input_tokens: u64,
    /// The part of these with a lifetime of an hour.
    #[serde(rename = "cacheDetails", deserialize_with = "hour_long")]
    pub cache_write_1h_input_tokens: u64,
    /// Output tokens used for reasoning, if Bedrock reports them.
    pub reasoning_tokens: Option<u64>,
    /// The service tier, which determines the price. Bedrock reports it next to the counts.
    #[serde(skip)]
    pub tier: BilledTier,
}

/// The service tier that Bedrock bills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BilledTier {
    /// `default`, or none.
    #[default]
    Standard,
    /// `priority`.
    Priority,
    /// `flex`.
    Flex,
    /// `ultrafast`, which some models of OpenAI have.
    Ultrafast,
    /// `reserved`, which is not billed by the token, and tiers that are not known here.
    Other,
}

impl BilledTier {
    /// The tier with a name of Bedrock, OpenAI or Anthropic.
    pub fn named(name: &str) -> Self {
        match name {
            "" | "default" | "standard" | "standard_only" | "auto" => Self::Standard,
            "priority" => Self::Priority,
            "flex" => Self::Flex,
            "ultrafast" => Self::Ultrafast,
            _ => Self::Other,
        }
    }
}

impl<'de> Deserialize<'de> for BilledTier {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Ok(Self::named(&name))
    }
}

impl TokenUsage {
    /// The same counts in the tier that Bedrock reports next to them.
    #[must_use]
    pub fn in_tier(self, tier: Option<BilledTier>) -> Self {
        let tier = tier.unwrap_or(self.tier);
        Self { tier, ..self }
    }

    /// All prompt tokens, cached or not.
    pub const fn prompt_tokens(&self) -> u64 {
        self.input_tokens
            .saturating_add(self.cache_read_input_tokens)
            .saturating_add(self.cache_write_input_tokens)
    }
}

/// Reads the tokens with a lifetime of an hour from `cacheDetails`.
fn hour_long<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Detail {
        #[serde(default)]
        ttl: String,
        #[serde(default)]
        input_tokens: u64,
    }
    let details = Option::<Vec<Detail>>::deserialize(deserializer)?.unwrap_or_default();
    let hour_long = details.iter().filter(|detail| detail.ttl == "1h");
    Ok(hour_long.map(|detail| detail.input_tokens).sum())
}

/// Reads `null` as the default value.
pub(super) fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}
