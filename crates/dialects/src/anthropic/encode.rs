//! Translates Converse responses and streams to Messages.

mod citations;
mod response;
mod stream;

use bedrock::converse::{StopReason, TokenUsage};
use serde::Serialize;

pub use response::{Encoded, encode_response};
pub use stream::{StreamEncoder, StreamEnd};

/// The identity of a response; the gateway chooses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseIdentity {
    /// The id, `msg_…`.
    pub id: String,
    /// The model name of the client's request.
    pub model: String,
}

/// Anthropic's stop reason for Bedrock's stop reason; `None` if the output is malformed.
///
/// `calls`: whether the response has tool calls; tool calls of models that stop with `end_turn` are `tool_use`.
fn stop_reason(stop: &StopReason, calls: bool) -> Option<&str> {
    match stop {
        StopReason::EndTurn | StopReason::ToolUse => {
            Some(if calls { "tool_use" } else { "end_turn" })
        }
        StopReason::MaxTokens => Some("max_tokens"),
        StopReason::StopSequence => Some("stop_sequence"),
        StopReason::GuardrailIntervened | StopReason::ContentFiltered => Some("refusal"),
        StopReason::ModelContextWindowExceeded => Some("model_context_window_exceeded"),
        StopReason::MalformedModelOutput | StopReason::MalformedToolUse => None,
        StopReason::Other(word) => Some(word),
    }
}

/// Token counts as Anthropic reports them: like Bedrock's, `input_tokens` excludes cached tokens.
#[derive(Clone, Copy, Debug, Serialize)]
struct Usage<'a> {
    input_tokens: u64,
    cache_creation_input_tokens: u64,
    cache_read_input_tokens: u64,
    output_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'a str>,
}

impl<'a> Usage<'a> {
    fn new(usage: &TokenUsage, tier: Option<&'a str>) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            cache_creation_input_tokens: usage.cache_write_input_tokens,
            cache_read_input_tokens: usage.cache_read_input_tokens,
            output_tokens: usage.output_tokens,
            service_tier: tier.map(|tier| if tier == "default" { "standard" } else { tier }),
        }
    }
}
