//! The response object: part of the first and last events of a stream, and the body of a whole response.

use bedrock::converse::TokenUsage;
use bytes::BytesMut;
use serde::Serialize;

use super::stream::StreamEncoder;
use crate::translation::{openai_shapes::error::ErrorBody, write::write_json};

#[derive(Serialize)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    /// Not in OpenAI's API: tokens written to the cache, which cost more.
    #[serde(skip_serializing_if = "Option::is_none")]
    cache_write_tokens: Option<u64>,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<TokenUsage> for Usage {
    fn from(usage: TokenUsage) -> Self {
        let input_tokens = usage.prompt_tokens();
        Self {
            input_tokens,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cache_read_input_tokens,
                cache_write_tokens: Some(usage.cache_write_input_tokens).filter(|count| *count > 0),
            },
            output_tokens: usage.output_tokens,
            output_tokens_details: OutputDetails {
                reasoning_tokens: usage.reasoning_tokens.unwrap_or(0),
            },
            total_tokens: input_tokens.saturating_add(usage.output_tokens),
        }
    }
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'static str,
    message: &'a str,
}

/// The code with which agents shorten their conversation.
const CONTEXT_EXCEEDED: &str = "context_length_exceeded";

/// OpenAI's code for a failed response; clients use it to decide about retries.
pub(super) fn failure_code(error: &ErrorBody) -> &'static str {
    if error.code.as_deref() == Some(CONTEXT_EXCEEDED) {
        return CONTEXT_EXCEEDED;
    }
    match error.status {
        429 => "rate_limit_exceeded",
        400 | 413 => "invalid_prompt",
        _ => "server_error",
    }
}

impl StreamEncoder {
    /// Writes the response in its current state.
    pub(super) fn object(
        &self,
        status: &'static str,
        reason: Option<&'static str>,
        error: Option<&ErrorBody>,
        out: &mut BytesMut,
    ) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"\"status\":\"");
        out.extend_from_slice(status.as_bytes());
        out.extend_from_slice(b"\",\"error\":");
        let failure = error.map(|error| Failure {
            code: failure_code(error),
            message: &error.message,
        });
        write_json(&failure, out);
        out.extend_from_slice(b",\"incomplete_details\":");
        write_json(&reason.map(|reason| Incomplete { reason }), out);
        out.extend_from_slice(b",\"output\":[");
        for (index, item) in self.items.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b",");
            }
            item.write(self.shown(), out);
        }
        out.extend_from_slice(b"],");
        out.extend_from_slice(self.reply.echo().as_bytes());
        out.extend_from_slice(b"\"service_tier\":");
        write_json(&self.service_tier.as_deref().unwrap_or("default"), out);
        out.extend_from_slice(b",\"usage\":");
        write_json(&self.usage.map(Usage::from), out);
        out.extend_from_slice(b"}");
    }
}
