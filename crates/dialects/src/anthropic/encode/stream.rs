//! Encodes a stream as server-sent events, event by event.
//!
//! Converse marks the start of tool blocks only, and sends token counts last. Messages needs a start and an end of every
//! block and indexes from zero, and `message_delta` waits for the token counts. Deltas are copied as JSON without
//! decoding them. A truncated stream ends with an error event.

mod blocks;

use bedrock::converse::{Metadata, StopReason, StreamEvent, TokenUsage};
use bytes::BytesMut;
use serde::Serialize;

use super::{
    super::{error::ErrorBody, reply::ReplyContext},
    ResponseIdentity, Usage,
    response::{Block, matched_stop_sequence},
    stop_reason,
};
use crate::translation::{
    StreamError, UpstreamError,
    leak::LeakedCallParser,
    stop::{malformed, stop_sequence},
    write::{quoted, write_json},
};
use blocks::Open;

/// Encodes one stream.
#[derive(Debug)]
pub struct StreamEncoder {
    reply: ReplyContext,
    identity: ResponseIdentity,
    started: bool,
    /// The open block, if any.
    open: Option<Open>,
    /// Index of the next block.
    next: u32,
    calls: u32,
    leak: LeakedCallParser,
    /// Text held back in case the model does not call the schema tool.
    held: String,
    schema_tool_used: bool,
    stop: Option<StopReason>,
    stop_sequence: Option<String>,
    usage: Option<TokenUsage>,
    service_tier: Option<String>,
    finished: bool,
}

#[derive(Serialize)]
struct Start<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    role: &'static str,
    model: &'a str,
    content: [(); 0],
    stop_reason: (),
    stop_sequence: (),
    usage: Usage<'a>,
}

#[derive(Serialize)]
struct Stopped<'a> {
    stop_reason: &'a str,
    stop_sequence: Option<String>,
}

impl StreamEncoder {
    /// An encoder for one stream.
    pub fn new(reply: ReplyContext, identity: &ResponseIdentity) -> Self {
        Self {
            reply,
            identity: identity.clone(),
            started: false,
            open: None,
            next: 0,
            calls: 0,
            leak: LeakedCallParser::default(),
            held: String::new(),
            schema_tool_used: false,
            stop: None,
            stop_sequence: None,
            usage: None,
            service_tier: None,
            finished: false,
        }
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
            StreamEvent::MessageStart => self.start(out),
            StreamEvent::ContentBlockStart(start) => self.block_start(start, out),
            StreamEvent::ContentBlockDelta(delta) => {
                self.delta(delta.content_block_index, &delta.delta, out)?;
            }
            StreamEvent::ContentBlockStop { index } => self.block_stop(*index, out),
            StreamEvent::MessageStop(stop) => {
                self.stop = Some(stop.stop_reason.clone());
                self.stop_sequence = stop_sequence(stop.additional_model_response_fields);
                self.complete(out);
            }
            StreamEvent::Metadata(Metadata {
                usage,
                service_tier,
                ..
            }) => {
                self.usage = Some(*usage);
                self.service_tier = service_tier.as_ref().map(|tier| tier.kind.clone());
                self.complete(out);
            }
            StreamEvent::Unknown => {}
        }
        Ok(())
    }

    /// Encodes a whole response as a stream, for models that do not stream tool calls.
    ///
    /// # Errors
    /// When the output is malformed; nothing is written then.
    pub fn response(
        &mut self,
        response: &bedrock::converse::ConverseResponse,
        out: &mut BytesMut,
    ) -> Result<(), UpstreamError> {
        if stop_reason(&response.stop_reason, false).is_none() {
            return Err(malformed(&response.stop_reason, response.usage));
        }
        self.start(out);
        let reply = self.reply.clone();
        for block in super::response::blocks(&response.output.message.content, &reply) {
            self.whole(block, out);
        }
        self.stop = Some(response.stop_reason.clone());
        self.stop_sequence = stop_sequence(response.additional_model_response_fields.as_deref());
        self.usage = Some(response.usage);
        self.service_tier = response.service_tier.as_ref().map(|tier| tier.kind.clone());
        self.complete(out);
        Ok(())
    }

    /// Ends the stream, with an error event if it is truncated or the output malformed. Later calls write nothing.
    pub fn finish(&mut self, out: &mut BytesMut) -> StreamEnd {
        let Some(stop) = self.stop.clone() else {
            self.error(&ErrorBody::truncated(), out);
            return StreamEnd::Truncated;
        };
        if stop_reason(&stop, false).is_none() {
            let error = malformed(&stop, self.usage.unwrap_or_default());
            let body = ErrorBody {
                status: error.status,
                message: error.message.clone(),
                ..ErrorBody::default()
            };
            self.error(&body, out);
            return StreamEnd::Malformed(Box::new(error));
        }
        // The counts are zero if Bedrock did not send them.
        self.usage.get_or_insert_default();
        self.complete(out);
        StreamEnd::Complete
    }

    /// Ends the stream with an error event. Later calls write nothing.
    pub fn error(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        if !self.finished {
            self.finished = true;
            error.write_event(out);
        }
    }

    /// Token counts, once received.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Writes the first event, once.
    fn start(&mut self, out: &mut BytesMut) {
        if self.started {
            return;
        }
        self.started = true;
        let usage = self.usage.unwrap_or_default();
        let start = Start {
            id: &self.identity.id,
            kind: "message",
            role: "assistant",
            model: &self.identity.model,
            content: [],
            stop_reason: (),
            stop_sequence: (),
            usage: Usage::new(&usage, None),
        };
        out.extend_from_slice(
            b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":",
        );
        write_json(&start, out);
        out.extend_from_slice(b"}\n\n");
    }

    /// Writes the last two events once the stop reason and the token counts are known.
    fn complete(&mut self, out: &mut BytesMut) {
        let (Some(stop), Some(usage)) = (self.stop.clone(), self.usage) else {
            return;
        };
        if self.finished {
            return;
        }
        if stop_reason(&stop, false).is_none() {
            return;
        }
        self.start(out);
        let rest = self.leak.finish(self.calls > 0);
        self.leaky_pieces(rest, out);
        if !self.schema_tool_used && !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.text(&quoted(&held), out);
        }
        self.close(out);
        self.finished = true;
        let Some(reason) = stop_reason(&stop, self.calls > 0) else {
            return;
        };
        let delta = Stopped {
            stop_reason: reason,
            stop_sequence: matched_stop_sequence(reason, self.stop_sequence.take(), &self.reply),
        };
        out.extend_from_slice(
            b"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":",
        );
        write_json(&delta, out);
        out.extend_from_slice(b",\"usage\":");
        write_json(&Usage::new(&usage, self.service_tier.as_deref()), out);
        out.extend_from_slice(b"}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
    }
}

/// The end of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The stream is complete.
    Complete,
    /// Bedrock ended the stream too early.
    Truncated,
    /// The output is malformed.
    Malformed(Box<UpstreamError>),
}
