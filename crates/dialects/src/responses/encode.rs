//! From Converse back to Responses: a whole response, or a stream event by event.
//!
//! Both are made by the same encoder, which gathers the items of the output as they come: a whole
//! response is what a stream ends with.

mod item;
mod object;
mod stream;
mod whole;

use bedrock::converse::{ConverseResponse, StopReason, TokenUsage};

use super::ReplyContext;
use crate::translation::{
    UpstreamError,
    openai_shapes::response::{ResponseIdentity, finish_reason},
};

pub use stream::{StreamEncoder, stream_failure};

/// A response in OpenAI's shape, and what accounting wants to know of it.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The body.
    pub body: Vec<u8>,
    /// Token counts as Bedrock gave them.
    pub usage: TokenUsage,
    /// `completed` or `incomplete`.
    pub status: &'static str,
    /// Bedrock's stop reason.
    pub bedrock_stop_reason: String,
}

/// Encodes a response of Converse.
///
/// # Errors
/// When the model wrote something unusable, as its stop reason says.
pub fn encode_response(
    response: &ConverseResponse,
    reply: ReplyContext,
    identity: &ResponseIdentity,
) -> Result<Encoded, UpstreamError> {
    let mut encoder = StreamEncoder::quiet(reply, identity);
    let mut out = bytes::BytesMut::new();
    encoder.response(response, &mut out)?;
    let end = End::of(&response.stop_reason);
    encoder.object(end.status, end.reason, None, &mut out);
    Ok(Encoded {
        body: out.to_vec(),
        usage: response.usage,
        status: end.status,
        bedrock_stop_reason: response.stop_reason.as_str().to_owned(),
    })
}

/// How a response ended.
#[derive(Clone, Copy, Debug)]
struct End {
    status: &'static str,
    /// Why it is incomplete.
    reason: Option<&'static str>,
    event: &'static str,
}

impl End {
    fn of(stop: &StopReason) -> Self {
        let reason = match finish_reason(stop, false) {
            Some("length") => Some("max_output_tokens"),
            Some("content_filter") => Some("content_filter"),
            _ => None,
        };
        if reason.is_some() {
            Self {
                status: "incomplete",
                reason,
                event: "response.incomplete",
            }
        } else {
            Self {
                status: "completed",
                reason,
                event: "response.completed",
            }
        }
    }
}

#[cfg(test)]
mod tests;
