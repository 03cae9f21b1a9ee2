//! What every response of OpenAI's endpoints has: an identity and a finish reason.

use bedrock::converse::StopReason;

/// What identifies an answer; the gateway chooses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseIdentity {
    /// `chatcmpl-…`.
    pub id: String,
    /// Seconds since 1970.
    pub created: u64,
    /// The model as the client named it.
    pub model: String,
}

impl ResponseIdentity {
    /// A word that changes when the translation may: the version of this program and the model.
    pub(crate) fn fingerprint(&self) -> String {
        // FNV-1a: short, stable between runs and platforms, and nothing secret is behind it.
        let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
        for byte in env!("CARGO_PKG_VERSION").bytes().chain(self.model.bytes()) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        format!("fp_{:010x}", hash & 0xff_ffff_ffff)
    }
}

/// OpenAI's word for a native stop reason; `None` where the model failed to write something usable.
///
/// `calls`: whether the client got tool calls. A limit of tokens in the middle of a call stays
/// `length`; models that call tools and say `end_turn` all the same get `tool_calls`.
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
