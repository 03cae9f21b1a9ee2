//! Responses of models that Bedrock serves in this protocol: bytes are forwarded, unless the request was adapted, and
//! the token usage is read.

use bedrock::{
    converse::{BilledTier, TokenUsage},
    sse::Event,
};
use bytes::BytesMut;
use dialects::{
    openai::ErrorBody,
    responses::{PassthroughStream, Restorer, stream_failure},
};
use serde::Deserialize;
use serde_json::Value;

use crate::{
    http::error::{CONTEXT_EXCEEDED, GatewayError, Result, says_overflow},
    pipeline::endpoint::StreamEncoder,
};

/// The usage of a response.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Response {
    usage: Option<Usage>,
    service_tier: Option<BilledTier>,
}

impl Response {
    fn usage(self) -> Option<TokenUsage> {
        let usage = TokenUsage::from(self.usage?);
        Some(usage.in_tier(self.service_tier))
    }
}

/// The last event of a stream.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Last {
    response: Response,
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
            reasoning_tokens: usage.output_tokens_details.reasoning_tokens,
            ..Self::default()
        }
    }
}

/// Token usage of a response, if any.
pub(super) fn usage(body: &[u8]) -> Option<TokenUsage> {
    let response: Response = serde_json::from_slice(body).ok()?;
    response.usage()
}

/// The code by which agents shorten their conversation, for the failure of a conversation that is too long.
fn failure_code(event: &Event) -> Option<&'static str> {
    if !matches!(event.name(), "response.failed" | "error") {
        return None;
    }
    let data: Value = serde_json::from_slice(&event.data).ok()?;
    let places = ["/response/error/message", "/error/message", "/message"];
    let message = places
        .iter()
        .find_map(|place| data.pointer(place)?.as_str())?;
    says_overflow(message).then_some(CONTEXT_EXCEEDED)
}

/// A forwarded stream.
#[derive(Debug, Default)]
pub(super) struct Stream {
    events: PassthroughStream,
    ended: bool,
    /// The error event of the stream.
    failure: Option<GatewayError>,
    usage: Option<TokenUsage>,
}

impl StreamEncoder for Stream {
    fn event(&mut self, event: &Event, out: &mut BytesMut) -> Result<()> {
        let code = failure_code(event);
        self.events.event(event, code, out);
        match event.name() {
            "response.completed" | "response.incomplete" => {
                self.ended = true;
                let last: Last = serde_json::from_slice(&event.data).unwrap_or_default();
                self.usage = last.response.usage();
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

    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<()> {
        out.extend_from_slice(body);
        Ok(())
    }

    fn finish(&mut self, out: &mut BytesMut) -> Result<()> {
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

impl Stream {
    pub(super) fn new(restorer: Restorer) -> Self {
        Self {
            events: PassthroughStream::new(restorer),
            ..Self::default()
        }
    }

    fn fail(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        self.ended = true;
        stream_failure(error, self.events.sequence(), out);
    }
}

#[cfg(test)]
mod tests {
    use bedrock::sse::Decoder;
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_conversation_that_is_too_long_has_the_code_that_agents_recognize() {
        let failed = |message: &str| {
            format!(
                r#"{{"type":"response.failed","response":{{"instructions":"prompt is too long","error":{{"code":"validation_error","message":"{message}"}}}}}}"#
            )
        };
        for (message, code) in [
            (
                "Your input exceeds the context window of this model.",
                CONTEXT_EXCEEDED,
            ),
            ("The model is overloaded.", "validation_error"),
        ] {
            let mut decoder = Decoder::new(1 << 20);
            let data = failed(message);
            decoder.push(Bytes::from(format!(
                "event: response.failed\ndata: {data}\n\n"
            )));
            let event = decoder.next_event().unwrap().unwrap();
            let mut stream = Stream::default();
            let mut out = BytesMut::new();
            StreamEncoder::event(&mut stream, &event, &mut out).unwrap();
            let text = String::from_utf8(out.to_vec()).unwrap();
            assert!(text.contains(&format!(r#""code":"{code}""#)), "{text}");
        }
    }
}
