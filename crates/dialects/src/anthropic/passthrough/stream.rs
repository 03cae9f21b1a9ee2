//! Passes Claude's events through as server-sent events.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::{BilledTier, TokenUsage};
use bytes::BytesMut;
use serde::Deserialize;
use serde_json::json;

use super::{
    Edits, Slice,
    restore::{CallEvent, Restorer},
};
use crate::{
    anthropic::error::ErrorBody,
    translation::{
        UpstreamError,
        write::{quoted, write_json},
    },
};

/// Prefix of members that Bedrock adds to the model's events.
const BEDROCK_PREFIX: &str = "amazon-bedrock-";

/// One stream.
#[derive(Debug, Default)]
pub struct PassthroughStream {
    /// The client's name of the model.
    model: String,
    restorer: Restorer,
    /// Tool and arguments of open calls whose names of arguments are restored, by the index of the block.
    held: BTreeMap<u64, (String, String)>,
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

/// Token counts; in a stream, later counts replace earlier ones.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct Usage {
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    cache_creation_input_tokens: Option<u64>,
    cache_read_input_tokens: Option<u64>,
    cache_creation: Option<CacheCreation>,
    service_tier: Option<BilledTier>,
}

/// Tokens written to the cache, by lifetime.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
struct CacheCreation {
    ephemeral_1h_input_tokens: Option<u64>,
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
            (
                self.cache_creation
                    .and_then(|written| written.ephemeral_1h_input_tokens),
                &mut sum.cache_write_1h_input_tokens,
            ),
        ] {
            if let Some(count) = count {
                *field = count;
            }
        }
        *sum = sum.in_tier(self.service_tier);
        sum.total_tokens = sum.prompt_tokens().saturating_add(sum.output_tokens);
    }
}

/// Token counts of a whole response.
pub fn usage_of(body: &[u8]) -> Option<TokenUsage> {
    let message: Message = serde_json::from_slice(body).ok()?;
    let mut sum = TokenUsage::default();
    message.usage?.add_to(&mut sum);
    Some(sum)
}

impl PassthroughStream {
    /// A stream whose `message_start` has the client's name of the model: Claude Code sends signed thinking back to the
    /// model of that name only.
    pub fn new(model: &str, restorer: Restorer) -> Self {
        Self {
            model: model.to_owned(),
            restorer,
            ..Self::default()
        }
    }

    /// Writes the event in the payload of a `chunk` frame of InvokeModelWithResponseStream.
    ///
    /// # Errors
    /// When the payload is invalid.
    pub fn chunk(&mut self, payload: &[u8], out: &mut BytesMut) -> Result<(), UpstreamError> {
        let chunk: Chunk<'_> = serde_json::from_slice(payload).map_err(|_| malformed_event())?;
        let event = STANDARD
            .decode(&*chunk.bytes)
            .map_err(|_| malformed_event())?;
        self.event(&event, out)
    }

    /// Writes an event from its JSON.
    ///
    /// # Errors
    /// When the event is not JSON with a type.
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
        if self.restorer.is_active() && self.hold(text, out) {
            return Ok(());
        }
        out.extend_from_slice(b"event: ");
        // Other characters could inject lines into the stream.
        let word = head.kind.bytes().filter(u8::is_ascii_graphic);
        out.extend(word);
        out.extend_from_slice(b"\ndata: ");
        let model =
            (head.kind == "message_start" && !self.model.is_empty()).then_some(self.model.as_str());
        data(text, model, out);
        out.extend_from_slice(b"\n\n");
        match head.kind.as_ref() {
            "message_stop" => self.stopped = true,
            "error" => self.finished = true,
            _ => {}
        }
        Ok(())
    }

    /// Holds the arguments of a call until they are complete, so that their names can be restored; whether the event is
    /// held.
    fn hold(&mut self, text: &str, out: &mut BytesMut) -> bool {
        let Ok(event) = serde_json::from_str::<CallEvent<'_>>(text) else {
            return false;
        };
        match event.kind.as_ref() {
            "content_block_start" => {
                let block = event.content_block.as_ref();
                if let Some(tool) = block.and_then(|block| self.restorer.renamed_tool(block)) {
                    let call = (tool.to_owned(), String::new());
                    self.held.insert(event.index, call);
                }
                false
            }
            "content_block_delta" => {
                let piece = event.delta.and_then(|delta| delta.partial_json);
                let call = self.held.get_mut(&event.index);
                let held = call.zip(piece);
                held.map(|((_, arguments), piece)| arguments.push_str(&piece))
                    .is_some()
            }
            "content_block_stop" => {
                if let Some((tool, arguments)) = self.held.remove(&event.index) {
                    let delta = json!({
                        "type": "content_block_delta",
                        "index": event.index,
                        "delta": {
                            "type": "input_json_delta",
                            "partial_json": self.restorer.arguments(&tool, &arguments),
                        },
                    });
                    out.extend_from_slice(b"event: content_block_delta\ndata: ");
                    write_json(&delta, out);
                    out.extend_from_slice(b"\n\n");
                }
                false
            }
            _ => false,
        }
    }

    /// Ends the stream: writes an error event and returns `false` if the response is incomplete.
    pub fn finish(&mut self, out: &mut BytesMut) -> bool {
        if !self.stopped {
            self.error(&ErrorBody::truncated(), out);
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

/// Writes an event as one line, without the members that Bedrock added, which strict clients do not expect. `model`
/// replaces the model of the message.
fn data(text: &str, model: Option<&str>, out: &mut BytesMut) {
    let line = |text: &str, out: &mut BytesMut| {
        // Raw line breaks in JSON are whitespace.
        out.extend(text.bytes().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            other => other,
        }));
    };
    if model.is_none() && !text.contains(BEDROCK_PREFIX) {
        line(text, out);
        return;
    }
    let root = Slice::new(text);
    let members = root.members();
    let mut edits = Edits::default();
    if let Some(model) = model
        && let Some(given) = root.get("message").and_then(|message| message.get("model"))
    {
        edits.replace(&given, quoted(model));
    }
    edits.remove(&members, |member| member.key.starts_with(BEDROCK_PREFIX));
    line(&edits.apply(text), out);
}

fn malformed_event() -> UpstreamError {
    UpstreamError {
        status: 502,
        code: "stream_garbled".to_owned(),
        message: "Bedrock sent an invalid event in the stream".to_owned(),
        usage: Box::default(),
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
