//! Encodes a stream as server-sent events, event by event.
//!
//! Deltas are copied as JSON without decoding them. Only text next to a forced schema tool is held back. Indexes of tool
//! calls start at zero and count calls only. `[DONE]` is sent only after `messageStop`; any other end is an error
//! event. `native_finish_reason` is Bedrock's stop reason.

mod leaky;
mod reasoning;
mod whole;

use bedrock::converse::{
    BlockStart, Delta, JsonStr, Metadata, StopReason, StreamEvent, TokenUsage,
};
use bytes::BytesMut;

use super::{super::reply::ReplyContext, usage::Usage};
use crate::translation::{
    SignedReasoning, StreamError,
    held::Held,
    leak::LeakedCallParser,
    openai_shapes::{
        error::ErrorBody,
        response::{ResponseIdentity, finish_reason},
    },
    stop::{malformed, stop_sequence},
    write::{quoted, write_json},
};
use reasoning::{Reasoning, Signed};

/// `{}` as a JSON string literal.
const EMPTY_OBJECT: &str = "\"{}\"";

/// Block index of a call without further events.
const NO_BLOCK: u64 = u64::MAX;
/// The end of a successful stream.
const DONE: &[u8] = b"data: [DONE]\n\n";

/// An open block.
#[derive(Debug)]
enum Open {
    /// A call of a client's tool, with its index among the calls and whether arguments were sent.
    Call {
        block: u64,
        index: u32,
        arguments: bool,
        held: Option<Held>,
    },
    /// A call of the schema tool, and whether arguments were sent.
    Schema {
        block: u64,
        arguments: bool,
        held: Option<Held>,
    },
    /// A call of a tool that Bedrock runs, or its result.
    Server { block: u64 },
}

impl Open {
    const fn block(&self) -> u64 {
        match self {
            Self::Call { block, .. } | Self::Schema { block, .. } | Self::Server { block } => {
                *block
            }
        }
    }
}

/// Encodes one stream.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: ReplyContext,
    /// `data: {"id":…,"system_fingerprint":"…","choices":[{"index":0,`, the same in every chunk.
    head: Vec<u8>,
    /// The head without `choices`.
    bare_head: Vec<u8>,
    /// Open blocks; there are few at a time.
    open: Vec<Open>,
    reasoning: Vec<Reasoning>,
    leak: LeakedCallParser,
    calls: u32,
    /// Number of thinking blocks written.
    thoughts: u32,
    role_sent: bool,
    /// Text held back in case the model does not call the schema tool.
    held: String,
    schema_tool_used: bool,
    stop: Option<StopReason>,
    stop_sequence: Option<String>,
    usage: Option<TokenUsage>,
    service_tier: Option<String>,
    signed: Option<Signed>,
    finished: bool,
}

impl StreamEncoder {
    /// An encoder for one stream.
    pub fn new(reply: ReplyContext, identity: &ResponseIdentity) -> Self {
        let bare_head = format!(
            "data: {{\"id\":{},\"object\":\"chat.completion.chunk\",\"created\":{},\"model\":{},\"system_fingerprint\":{},",
            quoted(&identity.id),
            identity.created,
            quoted(&identity.model),
            quoted(&identity.fingerprint()),
        )
        .into_bytes();
        let mut head = bare_head.clone();
        if reply.include_usage() {
            head.extend_from_slice(b"\"usage\":null,");
        }
        head.extend_from_slice(b"\"choices\":[{\"index\":0,");
        Self {
            reply,
            head,
            bare_head,
            open: Vec::new(),
            reasoning: Vec::new(),
            leak: LeakedCallParser::default(),
            calls: 0,
            thoughts: 0,
            role_sent: false,
            held: String::new(),
            schema_tool_used: false,
            stop: None,
            stop_sequence: None,
            usage: None,
            service_tier: None,
            signed: None,
            finished: false,
        }
    }

    /// The same encoder, which collects signed reasoning for [`Self::take_signed`].
    #[must_use]
    pub fn collecting_signed(mut self) -> Self {
        self.signed = Some(Signed::default());
        self
    }

    /// Signed reasoning before tool calls, with the id of the first call; once, after the stop reason.
    pub fn take_signed(&mut self) -> Option<(String, SignedReasoning)> {
        self.stop.as_ref()?;
        let Signed { call, blocks } = self.signed.take()?;
        Some((call?, blocks)).filter(|(_, blocks)| !blocks.is_empty())
    }

    /// Encodes an event; many events write nothing.
    ///
    /// # Errors
    /// When the event is invalid at this position. Call [`Self::error`] then.
    pub fn event(
        &mut self,
        event: &StreamEvent<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        if self.finished {
            return Ok(());
        }
        match event {
            StreamEvent::MessageStart => self.role(out),
            StreamEvent::ContentBlockStart(start) => self.block_start(start, out),
            StreamEvent::ContentBlockDelta(delta) => {
                self.delta(delta.content_block_index, &delta.delta, out)?;
            }
            StreamEvent::ContentBlockStop { index } => self.block_stop(*index, out),
            StreamEvent::MessageStop(stop) => {
                self.stop = Some(stop.stop_reason.clone());
                self.stop_sequence = stop_sequence(stop.additional_model_response_fields);
                self.finish_choice(out);
            }
            StreamEvent::Metadata(Metadata {
                usage,
                service_tier,
                ..
            }) => {
                self.usage = Some(*usage);
                self.service_tier = service_tier.as_ref().map(|tier| tier.kind.clone());
            }
            StreamEvent::Unknown => {}
        }
        Ok(())
    }

    /// Ends the stream: usage (if requested) and `[DONE]` after success, an error event if the stream is truncated or the
    /// output malformed. Later calls write nothing.
    pub fn finish(&mut self, out: &mut BytesMut) {
        if self.finished {
            return;
        }
        let Some(stop) = &self.stop else {
            self.error(
                &ErrorBody {
                    status: 502,
                    code: Some("stream_truncated".to_owned()),
                    message: "Bedrock ended the stream before the response was complete".to_owned(),
                    ..ErrorBody::default()
                },
                out,
            );
            return;
        };
        if finish_reason(stop, false).is_none() {
            let error = malformed(stop, self.usage.unwrap_or_default());
            self.error(
                &ErrorBody {
                    status: error.status,
                    code: Some(error.code),
                    message: error.message,
                    ..ErrorBody::default()
                },
                out,
            );
            return;
        }
        self.finished = true;
        if self.reply.include_usage()
            && let Some(usage) = &self.usage
        {
            out.extend_from_slice(&self.bare_head);
            if let Some(tier) = &self.service_tier {
                out.extend_from_slice(b"\"service_tier\":");
                write_json(tier, out);
                out.extend_from_slice(b",");
            }
            out.extend_from_slice(b"\"choices\":[],\"usage\":");
            write_json(&Usage::from(usage), out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(DONE);
    }

    /// Ends the stream with an error event. Later calls write nothing.
    pub fn error(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        if self.finished {
            return;
        }
        self.finished = true;
        error.write_event(out);
    }

    /// Token counts, once received.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Bedrock's stop reason, once received.
    pub const fn stop_reason(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }

    /// OpenAI's finish reason, once known.
    pub fn finish_reason(&self) -> Option<&'static str> {
        finish_reason(self.stop.as_ref()?, self.calls > 0)
    }

    /// Writes the role in the first chunk, once.
    fn role(&mut self, out: &mut BytesMut) {
        if !self.role_sent {
            self.role_sent = true;
            out.extend_from_slice(&self.head);
            out.extend_from_slice(
                b"\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
            );
        }
    }

    /// Writes a chunk; `inside` writes the members of `delta`.
    fn chunk(&mut self, out: &mut BytesMut, inside: impl FnOnce(&mut BytesMut)) {
        self.role(out);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"\"delta\":{");
        inside(out);
        out.extend_from_slice(b"},\"logprobs\":null,\"finish_reason\":null}]}\n\n");
    }

    fn text(&mut self, json: &str, out: &mut BytesMut) {
        self.chunk(out, |out| {
            out.extend_from_slice(b"\"content\":");
            out.extend_from_slice(json.as_bytes());
        });
    }

    fn block_start(&mut self, start: &BlockStart<'_>, out: &mut BytesMut) {
        let block = start.content_block_index;
        if start.start.tool_result.is_some() {
            self.open.push(Open::Server { block });
        }
        let Some(call) = &start.start.tool_use else {
            return;
        };
        if call.is_server_side() {
            self.open.push(Open::Server { block });
        } else if self.reply.core().is_schema_tool(&call.name) {
            self.open.push(Open::Schema {
                block,
                arguments: false,
                held: Held::new(&call.name, self.reply.core()),
            });
        } else {
            self.call(block, &call.tool_use_id, &call.name, out);
        }
    }

    /// Writes the first chunk of a call: id, name and empty arguments.
    fn call(&mut self, block: u64, id: &str, name: &str, out: &mut BytesMut) {
        let index = self.calls;
        self.calls = self.calls.saturating_add(1);
        if let Some(signed) = &mut self.signed {
            signed.call.get_or_insert_with(|| id.to_owned());
        }
        if block != NO_BLOCK {
            self.open.push(Open::Call {
                block,
                index,
                arguments: false,
                held: Held::new(name, self.reply.core()),
            });
        }
        let name = self.reply.core().original_tool_name(name).to_owned();
        self.chunk(out, |out| {
            write_call_index(index, out);
            out.extend_from_slice(b"\"id\":");
            write_json(&id, out);
            out.extend_from_slice(b",\"type\":\"function\",\"function\":{\"name\":");
            write_json(&name, out);
            out.extend_from_slice(b",\"arguments\":\"\"}}]");
        });
    }

    fn arguments(&mut self, index: u32, json: &str, out: &mut BytesMut) {
        self.chunk(out, |out| {
            write_call_index(index, out);
            out.extend_from_slice(b"\"function\":{\"arguments\":");
            out.extend_from_slice(json.as_bytes());
            out.extend_from_slice(b"}}]");
        });
    }

    fn delta(
        &mut self,
        block: u64,
        delta: &Delta<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        if let Some(text) = delta.text
            && !text.is_empty()
        {
            if self.reply.core().holds_text() {
                self.held.push_str(&text.decode());
            } else if self.reply.core().reads_calls_in_text() {
                self.leaky_text(&text.decode(), out);
            } else {
                self.text(text.as_json(), out);
            }
        }
        if let Some(input) = delta.tool_use.and_then(|call| call.input)
            && !input.is_empty()
        {
            self.call_input(block, input, out)?;
        }
        if let Some(reasoning) = &delta.reasoning_content {
            if let Some(text) = reasoning.text
                && !text.is_empty()
            {
                self.chunk(out, |out| {
                    out.extend_from_slice(b"\"reasoning_content\":");
                    out.extend_from_slice(text.as_json().as_bytes());
                });
            }
            self.gather(block, reasoning);
        }
        Ok(())
    }

    fn call_input(
        &mut self,
        block: u64,
        input: JsonStr<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        match self.open.iter_mut().find(|open| open.block() == block) {
            Some(
                Open::Call {
                    held: Some(held), ..
                }
                | Open::Schema {
                    held: Some(held), ..
                },
            ) => held.push(&input.decode()),
            Some(Open::Call {
                index, arguments, ..
            }) => {
                *arguments = true;
                let index = *index;
                self.arguments(index, input.as_json(), out);
            }
            Some(Open::Schema { arguments, .. }) => {
                *arguments = true;
                self.schema_tool_used = true;
                self.text(input.as_json(), out);
            }
            Some(Open::Server { .. }) => {}
            None => return Err(StreamError::NoSuchCall(block)),
        }
        Ok(())
    }

    fn block_stop(&mut self, at: u64, out: &mut BytesMut) {
        self.end_reasoning(at, out);
        let Some(position) = self.open.iter().position(|open| open.block() == at) else {
            return;
        };
        match self.open.swap_remove(position) {
            Open::Call {
                index,
                held: Some(held),
                ..
            } => {
                let arguments = held.finish(self.reply.core());
                self.arguments(index, &quoted(&arguments), out);
            }
            Open::Schema {
                held: Some(held), ..
            } => {
                self.schema_tool_used = true;
                let text = held.finish(self.reply.core());
                self.text(&quoted(&text), out);
            }
            // Missing arguments become an empty object, because "" does not parse.
            Open::Call {
                index,
                arguments: false,
                ..
            } => self.arguments(index, EMPTY_OBJECT, out),
            Open::Schema {
                arguments: false, ..
            } => {
                self.schema_tool_used = true;
                self.text(EMPTY_OBJECT, out);
            }
            Open::Call { .. } | Open::Schema { .. } | Open::Server { .. } => {}
        }
    }

    /// Writes the last chunk of the choice, with its finish reason.
    fn finish_choice(&mut self, out: &mut BytesMut) {
        let Some(stop) = self.stop.clone() else {
            return;
        };
        if finish_reason(&stop, false).is_none() {
            return;
        }
        let rest = self.leak.finish(self.calls > 0);
        self.leaky_pieces(rest, out);
        let Some(reason) = finish_reason(&stop, self.calls > 0) else {
            return;
        };
        if !self.schema_tool_used && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.text(&quoted(&held), out);
        }
        self.role(out);
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"\"delta\":{},\"logprobs\":null,\"finish_reason\":");
        write_json(&reason, out);
        out.extend_from_slice(b",\"native_finish_reason\":");
        write_json(&stop.as_str(), out);
        if let Some(sequence) = &self.stop_sequence {
            out.extend_from_slice(b",\"stop_sequence\":");
            write_json(sequence, out);
        }
        out.extend_from_slice(b"}]}\n\n");
    }
}

/// Writes the start of a tool call's delta, up to its index.
fn write_call_index(index: u32, out: &mut BytesMut) {
    out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
    write_json(&index, out);
    out.extend_from_slice(b",");
}
