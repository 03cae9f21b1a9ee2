//! Stop reasons that every dialect reports.

use bedrock::converse::{StopReason, TokenUsage};

use super::error::UpstreamError;

/// The error for a stop reason that has no finish reason in the dialects.
pub(crate) fn malformed(stop: &StopReason, usage: TokenUsage) -> UpstreamError {
    let what = match stop {
        StopReason::MalformedToolUse => "a malformed tool call",
        _ => "malformed output",
    };
    UpstreamError {
        status: 502,
        code: stop.as_str().to_owned(),
        message: format!("the model returned {what}; try again"),
        usage: Box::new(usage),
    }
}

/// The matched stop sequence in `additionalModelResponseFields`.
pub(crate) fn stop_sequence(fields: Option<&serde_json::value::RawValue>) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(fields?.get()).ok()?;
    let found = value
        .pointer("/delta/stop_sequence")
        .or_else(|| value.get("stop_sequence"))?;
    found.as_str().map(str::to_owned)
}
