//! Responses of models that Bedrock serves in OpenAI's own protocol: bytes through, signed, and read in
//! passing for the account.

use bedrock::{apis::Protocol, converse::TokenUsage, eventstream::Frame, sse::Event};
use bytes::BytesMut;
use dialects::{
    openai::ErrorBody,
    responses::stream_failure,
    translation::{head, with_model},
};
use serde::Deserialize;

use super::Way;
use crate::{
    http::error::GatewayError,
    pipeline::{active_config::Live, route::Target, stream as sse},
    upstream::call::Prepared,
};

/// The request for a target that speaks Responses itself; none for others.
pub(super) fn prepare(
    live: &Live,
    target: &Target,
    body: &[u8],
) -> Result<Option<Prepared<Way>>, GatewayError> {
    let api = target.capabilities.apis.responses;
    let Some(api) = api.filter(|one| one.path(Protocol::Responses).is_some()) else {
        return Ok(None);
    };
    let sent = (with_model(body, &target.model_id)?, head(body)?.stream);
    Prepared::passthrough(live, api, Protocol::Responses, sent, Way::Passthrough).map(Some)
}

/// What accounting reads of a response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Seen {
    usage: Option<Usage>,
}

/// The last event of a stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Last {
    response: Seen,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Usage {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: u64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Option<u64>,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        let cached = usage.input_tokens_details.cached_tokens;
        Self {
            input_tokens: usage.input_tokens.saturating_sub(cached),
            output_tokens: usage.output_tokens,
            total_tokens: usage.input_tokens.saturating_add(usage.output_tokens),
            cache_read_input_tokens: cached,
            cache_write_input_tokens: 0,
            reasoning_tokens: usage.output_tokens_details.reasoning_tokens,
        }
    }
}

/// Token counts of a response, where it has them.
pub(super) fn usage(body: &[u8]) -> Option<TokenUsage> {
    let seen: Seen = serde_json::from_slice(body).ok()?;
    seen.usage.map(TokenUsage::from)
}

/// A stream that goes through.
#[derive(Debug, Default)]
pub(super) struct Through {
    /// Events so far, which is the number of the next one.
    events: u64,
    ended: bool,
    /// Why it did not end well.
    failure: Option<GatewayError>,
    usage: Option<TokenUsage>,
}

impl sse::Encode for Through {
    fn event(&mut self, _frame: &Frame, _out: &mut BytesMut) -> Result<(), GatewayError> {
        Err(GatewayError::Internal("frames where events were asked for"))
    }

    fn server_sent(&mut self, event: &Event, out: &mut BytesMut) -> Result<(), GatewayError> {
        out.extend_from_slice(&event.raw);
        self.events = self
            .events
            .saturating_add(u64::from(!event.data.is_empty()));
        match event.name() {
            "response.completed" | "response.incomplete" => {
                self.ended = true;
                let last: Last = serde_json::from_slice(&event.data).unwrap_or_default();
                self.usage = last.response.usage.map(TokenUsage::from);
            }
            "response.failed" | "error" => {
                self.ended = true;
                let failure = || GatewayError::Unreadable(event.name().to_owned());
                self.failure.get_or_insert_with(failure);
            }
            _ => {}
        }
        Ok(())
    }

    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), GatewayError> {
        out.extend_from_slice(body);
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        if !self.ended {
            let error = GatewayError::StreamCut;
            self.fail(&error.body(""), out);
            return Err(error);
        }
        self.failure.take().map_or(Ok(()), Err)
    }

    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut) {
        if !self.ended {
            self.fail(&error.body(request_id), out);
        }
    }

    fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }
}

impl Through {
    fn fail(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        self.ended = true;
        stream_failure(error, self.events, out);
    }
}
