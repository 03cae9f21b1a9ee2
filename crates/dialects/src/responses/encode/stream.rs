//! Encodes a stream as server-sent events, event by event.
//!
//! Deltas are copied as JSON without decoding them. Only text next to a forced schema tool and the input of custom tools,
//! which is wrapped in JSON, are held back. Consecutive text blocks become one message. Items are numbered in order of
//! their start, every started item ends, and the last event repeats the content of the earlier events.

mod call;
mod reasoning;
mod text;

use bedrock::converse::{BlockStart, Delta, Metadata, StopReason, StreamEvent, TokenUsage};
use bytes::BytesMut;
use serde_json::{Map, Value};

use super::{
    super::ReplyContext,
    End,
    item::{Item, Kind, Literal, Shown},
};
use crate::translation::{
    StreamError,
    held::Held,
    leak::LeakedCallParser,
    openai_shapes::{
        error::ErrorBody,
        response::{ResponseIdentity, finish_reason},
    },
    stop::malformed,
    write::{quoted, write_json},
};

/// Blocks that are not items.
#[derive(Clone, Copy, Debug)]
enum Apart {
    /// A call of the schema tool, and whether arguments were sent.
    Schema { block: u64, arguments: bool },
    /// A call of a tool that Bedrock runs, or its result.
    Server { block: u64 },
}

impl Apart {
    const fn block(self) -> u64 {
        match self {
            Self::Schema { block, .. } | Self::Server { block } => block,
        }
    }
}

/// Encodes one stream.
#[derive(Debug)]
pub struct StreamEncoder {
    pub(super) reply: ReplyContext,
    /// `{"id":…,"object":"response","created_at":…,"model":…,`
    pub(super) head: Vec<u8>,
    /// The part of item ids between prefix and number.
    stem: String,
    pub(super) items: Vec<Item>,
    /// Index of the open message.
    message: Option<usize>,
    apart: Vec<Apart>,
    /// Arguments of open calls that are held back, by block.
    renamed: Vec<(u64, Held)>,
    leak: LeakedCallParser,
    /// Text held back in case the model does not call the schema tool.
    held: Literal,
    schema_tool_used: bool,
    stop: Option<StopReason>,
    pub(super) usage: Option<TokenUsage>,
    pub(super) service_tier: Option<String>,
    sequence: u64,
    /// Whether to collect items without writing events.
    quiet: bool,
    stage: Stage,
}

/// State of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Started,
    Finished,
}

impl StreamEncoder {
    /// An encoder for one stream.
    pub fn new(reply: ReplyContext, identity: &ResponseIdentity) -> Self {
        let head = format!(
            "{{\"id\":{},\"object\":\"response\",\"created_at\":{},\"model\":{},",
            quoted(&identity.id),
            identity.created,
            quoted(&identity.model),
        );
        let stem = identity.id.strip_prefix("resp_").unwrap_or(&identity.id);
        Self {
            reply,
            head: head.into_bytes(),
            stem: stem.to_owned(),
            items: Vec::new(),
            message: None,
            apart: Vec::new(),
            renamed: Vec::new(),
            leak: LeakedCallParser::default(),
            held: Literal::default(),
            schema_tool_used: false,
            stop: None,
            usage: None,
            service_tier: None,
            sequence: 0,
            quiet: false,
            stage: Stage::New,
        }
    }

    /// An encoder for a whole response.
    pub(super) fn quiet(reply: ReplyContext, identity: &ResponseIdentity) -> Self {
        Self {
            quiet: true,
            ..Self::new(reply, identity)
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
        if self.stage == Stage::Finished {
            return Ok(());
        }
        if !matches!(event, StreamEvent::Unknown) {
            self.begin(out);
        }
        match event {
            StreamEvent::ContentBlockStart(start) => self.block_starts(start, out),
            StreamEvent::ContentBlockDelta(delta) => {
                self.delta(delta.content_block_index, &delta.delta, out)?;
            }
            StreamEvent::ContentBlockStop { index } => self.block_ends(*index, out),
            StreamEvent::MessageStop(stop) => self.stop(stop.stop_reason.clone(), out),
            StreamEvent::Metadata(Metadata {
                usage,
                service_tier,
                ..
            }) => {
                self.usage = Some(*usage);
                self.service_tier = service_tier.as_ref().map(|tier| tier.kind.clone());
            }
            StreamEvent::MessageStart | StreamEvent::Unknown => {}
        }
        Ok(())
    }

    /// Ends the stream: `response.completed` or `response.incomplete` after success, an error if the stream is truncated or
    /// the output malformed. Later calls write nothing.
    pub fn finish(&mut self, out: &mut BytesMut) {
        if self.stage == Stage::Finished {
            return;
        }
        let failed = |status, code: &str, message: &str| ErrorBody {
            status,
            code: Some(code.to_owned()),
            message: message.to_owned(),
            ..ErrorBody::default()
        };
        let Some(stop) = self.stop.clone() else {
            let what = "Bedrock ended the stream before the response was complete";
            self.error(&failed(502, "stream_truncated", what), out);
            return;
        };
        if finish_reason(&stop, false).is_none() {
            let error = malformed(&stop, self.usage.unwrap_or_default());
            self.error(&failed(error.status, &error.code, &error.message), out);
            return;
        }
        self.stage = Stage::Finished;
        let end = End::new(&stop);
        self.lifecycle(end.event, end.status, end.reason, None, out);
    }

    /// Ends the stream with an `error` event and `response.failed`. Later calls write nothing.
    pub fn error(&mut self, error: &ErrorBody, out: &mut BytesMut) {
        if self.stage == Stage::Finished {
            return;
        }
        self.begin(out);
        self.stage = Stage::Finished;
        for item in &mut self.items {
            if item.status == "in_progress" {
                item.status = "incomplete";
            }
        }
        self.write("error", out, |out| write_error(error, out));
        self.lifecycle("response.failed", "failed", None, Some(error), out);
    }

    /// Token counts, once received.
    pub const fn usage(&self) -> Option<TokenUsage> {
        self.usage
    }

    /// Bedrock's stop reason, once received.
    pub const fn stop_reason(&self) -> Option<&StopReason> {
        self.stop.as_ref()
    }

    /// The status of the response, once known; `None` for malformed output.
    pub fn finish_reason(&self) -> Option<&'static str> {
        let stop = self.stop.as_ref()?;
        finish_reason(stop, false).map(|_| End::new(stop).status)
    }

    pub(super) fn shown(&self) -> Shown {
        if self.reply.summary() {
            Shown::Summary
        } else {
            Shown::Text
        }
    }

    /// Writes an event with its sequence number; `inside` writes its members.
    fn write(&mut self, kind: &str, out: &mut BytesMut, inside: impl FnOnce(&mut BytesMut)) {
        if self.quiet {
            return;
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\ndata: {\"type\":\"");
        out.extend_from_slice(kind.as_bytes());
        out.extend_from_slice(b"\",\"sequence_number\":");
        write_json(&self.sequence, out);
        out.extend_from_slice(b",");
        inside(out);
        out.extend_from_slice(b"}\n\n");
        self.sequence = self.sequence.saturating_add(1);
    }

    /// Writes an event with the response in its current state.
    fn lifecycle(
        &mut self,
        kind: &str,
        status: &'static str,
        reason: Option<&'static str>,
        error: Option<&ErrorBody>,
        out: &mut BytesMut,
    ) {
        let mut object = BytesMut::new();
        if !self.quiet {
            self.object(status, reason, error, &mut object);
        }
        self.write(kind, out, |out| {
            out.extend_from_slice(b"\"response\":");
            out.extend_from_slice(&object);
        });
    }

    pub(super) fn begin(&mut self, out: &mut BytesMut) {
        if self.stage == Stage::New {
            self.stage = Stage::Started;
            self.lifecycle("response.created", "in_progress", None, None, out);
            self.lifecycle("response.in_progress", "in_progress", None, None, out);
        }
    }

    /// Writes an event about an item; `inside` writes the members after its position.
    fn about(
        &mut self,
        index: usize,
        kind: &str,
        out: &mut BytesMut,
        inside: impl FnOnce(&Item, &mut BytesMut),
    ) {
        let mut members = BytesMut::new();
        if let Some(item) = self.items.get(index).filter(|_| !self.quiet) {
            item.write_place(index, &mut members);
            inside(item, &mut members);
        }
        self.write(kind, out, |out| out.extend_from_slice(&members));
    }

    /// Writes an event with a whole item.
    fn with_item(&mut self, index: usize, kind: &str, out: &mut BytesMut) {
        let mut members = BytesMut::new();
        if let Some(item) = self.items.get(index).filter(|_| !self.quiet) {
            members.extend_from_slice(b"\"output_index\":");
            write_json(&index, &mut members);
            members.extend_from_slice(b",\"item\":");
            item.write(self.shown(), &mut members);
        }
        self.write(kind, out, |out| out.extend_from_slice(&members));
    }

    fn begin_item(
        &mut self,
        prefix: &str,
        kind: Kind,
        block: Option<u64>,
        out: &mut BytesMut,
    ) -> usize {
        self.begin(out);
        self.end_message("completed", out);
        let index = self.items.len();
        self.items.push(Item {
            id: format!("{prefix}_{}{index:02x}", self.stem),
            kind,
            block,
            status: "in_progress",
        });
        self.with_item(index, "response.output_item.added", out);
        index
    }

    fn end_item(&mut self, index: usize, status: &'static str, out: &mut BytesMut) {
        if let Some(item) = self.items.get_mut(index) {
            item.status = status;
            item.block = None;
        }
        self.with_item(index, "response.output_item.done", out);
    }

    /// The item of an open block.
    fn open(&self, block: u64) -> Option<usize> {
        self.items.iter().position(|item| item.block == Some(block))
    }

    fn block_starts(&mut self, start: &BlockStart<'_>, out: &mut BytesMut) {
        let block = start.content_block_index;
        if start.start.tool_result.is_some() {
            self.apart.push(Apart::Server { block });
        }
        let Some(call) = &start.start.tool_use else {
            return;
        };
        if call.is_server_side() {
            self.apart.push(Apart::Server { block });
        } else {
            self.call_begins(block, &call.tool_use_id, &call.name, out);
        }
    }

    fn delta(
        &mut self,
        block: u64,
        delta: &Delta<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        if let Some(text) = delta.text {
            self.model_text(text.as_json(), out);
        }
        if let Some(input) = delta.tool_use.and_then(|call| call.input)
            && !input.is_empty()
            && !self.call_delta(block, input.as_json(), out)
        {
            return Err(StreamError::NoSuchCall(block));
        }
        if let Some(reasoning) = &delta.reasoning_content {
            self.reasoning(block, reasoning, out);
        }
        Ok(())
    }

    pub(super) fn block_ends(&mut self, block: u64, out: &mut BytesMut) {
        self.write_held(block, out);
        if let Some(position) = self.apart.iter().position(|apart| apart.block() == block)
            && let Apart::Schema {
                arguments: false, ..
            } = self.apart.swap_remove(position)
        {
            self.schema_tool_used = true;
            self.text("\"{}\"", out);
        }
        if let Some(index) = self.open(block) {
            self.end_block(index, out);
        }
    }

    fn end_block(&mut self, index: usize, out: &mut BytesMut) {
        match self.items.get(index).map(|item| &item.kind) {
            Some(Kind::Reasoning { .. }) => self.end_reasoning(index, out),
            Some(Kind::Call { .. }) => self.end_call(index, out),
            Some(Kind::Message { .. }) | None => {}
        }
    }

    /// The end of the model's turn; ends all open items.
    pub(super) fn stop(&mut self, stop: StopReason, out: &mut BytesMut) {
        self.begin(out);
        let status = End::new(&stop).status;
        let malformed = finish_reason(&stop, false).is_none();
        self.stop = Some(stop);
        if malformed {
            return;
        }
        let has_calls = self
            .items
            .iter()
            .any(|item| matches!(item.kind, Kind::Call { .. }));
        let rest = self.leak.finish(has_calls);
        self.leaky_pieces(rest, out);
        while let Some((block, _)) = self.renamed.first() {
            self.write_held(*block, out);
        }
        if !self.schema_tool_used && !self.held.is_empty() {
            let mut held = BytesMut::new();
            std::mem::take(&mut self.held).write(&mut held);
            self.text(&String::from_utf8_lossy(&held), out);
        }
        self.end_message(status, out);
        for index in 0..self.items.len() {
            if self
                .items
                .get(index)
                .is_some_and(|item| item.block.is_some())
            {
                self.end_block(index, out);
            }
        }
    }
}

/// Writes an `error` event at the end of a truncated passthrough stream; `sequence` is its number.
pub fn stream_failure(error: &ErrorBody, sequence: u64, out: &mut BytesMut) {
    out.extend_from_slice(b"event: error\ndata: {\"type\":\"error\",\"sequence_number\":");
    write_json(&sequence, out);
    out.extend_from_slice(b",");
    write_error(error, out);
    out.extend_from_slice(b"}\n\n");
}

/// Writes the documented members of an error event, and the `error` object that OpenAI's service sends.
fn write_error(error: &ErrorBody, out: &mut BytesMut) {
    out.extend_from_slice(b"\"code\":");
    write_json(&error.code, out);
    out.extend_from_slice(b",\"message\":");
    write_json(&error.message, out);
    out.extend_from_slice(b",\"param\":");
    write_json(&error.param, out);
    out.extend_from_slice(b",");
    let mut extra = Map::new();
    extra.insert("status".to_owned(), Value::from(error.status));
    extra.extend(error.extra.clone());
    let nested = ErrorBody {
        extra,
        ..error.clone()
    };
    let body = nested.to_vec();
    let members = body
        .strip_prefix(b"{")
        .and_then(|rest| rest.strip_suffix(b"}"));
    out.extend_from_slice(members.unwrap_or_default());
}
