//! How a model stopped, as far as every dialect tells it.

use bedrock::converse::{StopReason, TokenUsage};

use super::error::UpstreamError;

/// What to tell the client about a stop reason without a finish reason.
pub(crate) fn malformed(stop: &StopReason, usage: TokenUsage) -> UpstreamError {
    let what = match stop {
        StopReason::MalformedToolUse => "a tool call that cannot be read",
        _ => "output that cannot be read",
    };
    UpstreamError {
        status: 502,
        code: stop.as_str().to_owned(),
        message: format!("the model wrote {what}; asking again usually helps"),
        usage,
    }
}

/// Path of the stop sequence that was met, in `additionalModelResponseFields`.
pub(crate) fn stop_sequence(fields: Option<&serde_json::value::RawValue>) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(fields?.get()).ok()?;
    let found = value
        .pointer("/delta/stop_sequence")
        .or_else(|| value.get("stop_sequence"))?;
    found.as_str().map(str::to_owned)
}
