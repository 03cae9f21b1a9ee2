//! Events of Claude on their way back: server-sent events around the bytes as they came.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::TokenUsage;
use bytes::BytesMut;
use serde::Deserialize;

use super::{Edits, Slice};
use crate::{
    anthropic::error::ErrorBody,
    translation::{UpstreamError, write::write_json},
};

/// What Bedrock adds to the model's own answer.
const BEDROCKS_OWN: &str = "amazon-bedrock-";

/// One stream.
#[derive(Debug, Default)]
pub struct PassthroughStream {
    usage: Option<TokenUsage>,
    stopped: bool,
    finished: bool,
}

#[derive(Deserialize)]
struct Chunk<'a> {
    #[serde(borrow)]
    bytes: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow, rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    message: Option<Message>,
    usage: Option<Usage>,
}

#[derive(Default, Deserialize)]
struct Message {
    usage: Option<Usage>,
}

/// Token counts; in a stream the later ones count.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[expect(clippy::struct_field_names, reason = "Anthropic's words")]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
}

impl Usage {
    fn add_to(self, sum: &mut TokenUsage) {
        for (count, field) in [
            (self.input_tokens, &mut sum.input_tokens),
            (self.output_tokens, &mut sum.output_tokens),
            (
                self.cache_creation_input_tokens,
                &mut sum.cache_write_input_tokens,
            ),
            (
                self.cache_read_input_tokens,
                &mut sum.cache_read_input_tokens,
            ),
        ] {
            if let Some(count) = count {
                *field = count;
            }
        }
        sum.total_tokens = sum.prompt_tokens().saturating_add(sum.output_tokens);
    }
}

/// Token counts of a whole answer.
pub fn usage_of(body: &[u8]) -> Option<TokenUsage> {
    let message: Message = serde_json::from_slice(body).ok()?;
    let mut sum = TokenUsage::default();
    message.usage?.add_to(&mut sum);
    Some(sum)
}

impl PassthroughStream {
    /// Writes the event in the payload of a `chunk` frame of InvokeModelWithResponseStream.
    ///
    /// # Errors
    /// When it is not what such a payload is.
    pub fn chunk(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), UpstreamError> {
        let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|_| malformed_event())?;
        let event = STANDARD
            .decode(&*chunk.bytes)
            .map_err(|_| malformed_event())?;
        self.event(&event, out)
    }

    /// Writes an event, given as its JSON.
    ///
    /// # Errors
    /// When it is not JSON with a type.
    pub fn event(&mut self, event: &[u8], out: &mut BytesMut) -> Result<(), UpstreamError> {
        if self.finished {
            return Ok(());
        }
        let text = std::str::from_utf8(event).map_err(|_| malformed_event())?;
        let head: Head<'_> = serde_json::from_str(text).map_err(|_| malformed_event())?;
        let usage = head.message.and_then(|message| message.usage);
        for usage in usage.into_iter().chain(head.usage) {
            usage.add_to(self.usage.get_or_insert_default());
        }
        out.extend_from_slice(b"event: ");
        // A type is one word; anything else would forge lines of the stream.
        let word = head.kind.bytes().filter(u8::is_ascii_graphic);
        out.extend(word);
        out.extend_from_slice(b"\ndata: ");
        data(text, out);
        out.extend_from_slice(b"\n\n");
        match head.kind.as_ref() {
            "message_stop" => self.stopped = true,
            "error" => self.finished = true,
            _ => {}
        }
        Ok(())
    }

    /// Writes the end, which is an error event where the answer was not complete; `false` then.
    pub fn finish(&mut self, out: &mut BytesMut) -> bool {
        if !self.stopped {
            self.error(&ErrorBody::cut(), out);
        }
        self.finished = true;
        self.stopped
    }

    /// Ends the stream with an error event. Later calls write nothing.
    pub fn error(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        if !self.finished {
            self.finished = true;
            error.write_event(out);
        }
    }

    /// Token counts so far.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }
}

/// The event without what Bedrock added to it, which strict clients do not expect; on one line.
fn data(text: &str, out: &mut BytesMut) {
    let line = |text: &str, out: &mut BytesMut| {
        // Line breaks of JSON are only ever blanks.
        out.extend(text.bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => other,
        }));
    };
    if !text.contains(BEDROCKS_OWN) {
        line(text, out);
        return;
    }
    let members = Slice::of(text).members();
    let mut edits = Edits::default();
    edits.remove(&members, |member| member.key.starts_with(BEDROCKS_OWN));
    line(&edits.apply(text), out);
}

fn malformed_event() -> UpstreamError {
    UpstreamError {
        status: 502,
        code: "stream_garbled".to_owned(),
        message: "Bedrock's stream holds an event that cannot be read".to_owned(),
        usage: TokenUsage::default(),
    }
}

impl ErrorBody {
    /// Writes the error as an event.
    pub(crate) fn write_event(&self, out: &mut BytesMut) {
        out.extend_from_slice(b"event: error\ndata: ");
        write_json(&self.envelope(), out);
        out.extend_from_slice(b"\n\n");
    }
}
