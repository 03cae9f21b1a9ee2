//! Translates Converse responses and streams to Responses.
//!
//! The same encoder writes both: it collects the items of the output, and a whole response equals the response object
//! in the last event of a stream.

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

/// An encoded response, with the values for the request record.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The body.
    pub body: Vec<u8>,
    /// Token counts from Bedrock.
    pub usage: TokenUsage,
    /// `completed` or `incomplete`.
    pub status: &'static str,
    /// Bedrock's stop reason.
    pub bedrock_stop_reason: String,
}

/// Encodes a Converse response.
///
/// # Errors
/// When the stop reason says that the output is malformed.
pub fn encode_response(
    response: &ConverseResponse,
    reply: ReplyContext,
    identity: &ResponseIdentity,
) -> Result<Encoded, UpstreamError> {
    let mut encoder = StreamEncoder::quiet(reply, identity);
    let mut out = bytes::BytesMut::new();
    encoder.response(response, &mut out)?;
    let end = End::new(&response.stop_reason);
    encoder.object(end.status, end.reason, None, &mut out);
    Ok(Encoded {
        body: out.to_vec(),
        usage: response.usage,
        status: end.status,
        bedrock_stop_reason: response.stop_reason.as_str().to_owned(),
    })
}

/// The end of a response.
#[derive(Clone, Copy, Debug)]
struct End {
    status: &'static str,
    /// Reason of an incomplete response.
    reason: Option<&'static str>,
    event: &'static str,
}

impl End {
    fn new(stop: &StopReason) -> Self {
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
