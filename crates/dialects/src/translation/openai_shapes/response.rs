//! Identity and finish reason of responses of OpenAI's endpoints.

use bedrock::converse::StopReason;

/// The identity of a response; the gateway chooses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseIdentity {
    /// The id, such as `chatcmpl-…` or `resp_…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model name of the client's request.
    pub model: String,
}

impl ResponseIdentity {
    /// `system_fingerprint`; changes with the version of the gateway and the model.
    pub(crate) fn fingerprint(&self) -> String {
        // FNV-1a: short and stable between runs and platforms. It protects no secret.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in env!("CARGO_PKG_VERSION").bytes().chain(self.model.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        format!("fp_{:010x}", hash & 0xff_ffff_ffff)
    }
}

/// OpenAI's finish reason for Bedrock's stop reason; `None` if the output is malformed.
///
/// `calls`: whether the response has tool calls. A token limit inside a call is `length`; tool calls of models that
/// stop with `end_turn` are `tool_calls`.
pub(crate) fn finish_reason(stop: &StopReason, calls: bool) -> Option<&'static str> {
    match stop {
        StopReason::MaxTokens | StopReason::ModelContextWindowExceeded => Some("length"),
        StopReason::GuardrailIntervened | StopReason::ContentFiltered => Some("content_filter"),
        StopReason::MalformedModelOutput | StopReason::MalformedToolUse => None,
        StopReason::EndTurn
        | StopReason::StopSequence
        | StopReason::ToolUse
        | StopReason::Other(_) => Some(if calls { "tool_calls" } else { "stop" }),
    }
}
