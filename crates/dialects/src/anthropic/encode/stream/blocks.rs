//! Writes the blocks of a stream.

use std::borrow::Cow;

use bedrock::converse::{BlockStart, Delta, JsonStr, ReasoningDelta};
use bytes::BytesMut;
use serde_json::value::RawValue;

use super::{Block, StreamEncoder, quoted, write_json};
use crate::{
    anthropic::encode::{citations, response::empty_object},
    translation::{StreamError, held::Held, leak::Piece},
};

/// The open block.
#[derive(Debug)]
pub(super) struct Open {
    /// Converse's index of the block; `None` if the encoder created it.
    block: Option<u64>,
    index: u32,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Thinking,
    Call {
        held: Option<Held>,
    },
    /// A call of the schema tool, and whether arguments were sent.
    Schema {
        arguments: bool,
        held: Option<Held>,
    },
    /// Encrypted reasoning, collected until it is complete because it has no deltas.
    Redacted(String),
    /// A call of a tool that Bedrock runs, or its result; not written.
    Server,
}

impl StreamEncoder {
    pub(super) fn block_start(&mut self, start: &BlockStart<'_>, out: &mut BytesMut) {
        let block = start.content_block_index;
        if start.start.tool_result.is_some() {
            self.begin(Some(block), Kind::Server, None, out);
        }
        let Some(call) = &start.start.tool_use else {
            return;
        };
        if call.is_server_side() {
            self.begin(Some(block), Kind::Server, None, out);
        } else if self.reply.core.is_schema_tool(&call.name) {
            self.begin(
                Some(block),
                Kind::Schema {
                    arguments: false,
                    held: Held::new(&call.name, &self.reply.core),
                },
                Some(&empty_text()),
                out,
            );
        } else {
            self.call(Some(block), &call.tool_use_id, &call.name, out);
        }
    }

    /// Starts a tool call without arguments.
    fn call(&mut self, block: Option<u64>, id: &str, name: &str, out: &mut BytesMut) {
        self.calls = self.calls.saturating_add(1);
        let held = Held::new(name, &self.reply.core).filter(|_| block.is_some());
        let name = self.reply.core.original_tool_name(name).to_owned();
        let content = Block::ToolUse {
            id: Cow::Borrowed(id),
            name: Cow::Owned(name),
            input: empty_object(),
        };
        self.begin(block, Kind::Call { held }, Some(&content), out);
    }

    /// Ends the open block and starts a new one; a block without `content` is not written.
    fn begin(
        &mut self,
        block: Option<u64>,
        kind: Kind,
        content: Option<&Block<'_>>,
        out: &mut BytesMut,
    ) {
        self.close(out);
        self.start(out);
        let index = self.next;
        if let Some(content) = content {
            self.next = self.next.saturating_add(1);
            out.extend_from_slice(
                b"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":",
            );
            write_json(&index, out);
            out.extend_from_slice(b",\"content_block\":");
            write_json(content, out);
            out.extend_from_slice(b"}\n\n");
        }
        self.open = Some(Open { block, index, kind });
    }

    /// Ends the open block.
    pub(super) fn close(&mut self, out: &mut BytesMut) {
        let Some(open) = self.open.take() else {
            return;
        };
        match open.kind {
            Kind::Server => return,
            Kind::Redacted(data) => {
                let content = Block::RedactedThinking {
                    data: Cow::Owned(data),
                };
                self.begin(open.block, Kind::Text, Some(&content), out);
                self.close(out);
                return;
            }
            Kind::Call { held: Some(held) } => {
                let arguments = held.finish(&self.reply.core);
                input_delta(open.index, &quoted(&arguments), out);
            }
            Kind::Schema {
                held: Some(held), ..
            } => {
                self.schema_tool_used = true;
                let text = held.finish(&self.reply.core);
                text_delta(open.index, &quoted(&text), out);
            }
            Kind::Schema {
                arguments,
                held: None,
            } => {
                self.schema_tool_used = true;
                if !arguments {
                    text_delta(open.index, "\"{}\"", out);
                }
            }
            Kind::Text | Kind::Thinking | Kind::Call { held: None } => {}
        }
        out.extend_from_slice(
            b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":",
        );
        write_json(&open.index, out);
        out.extend_from_slice(b"}\n\n");
    }

    pub(super) fn block_stop(&mut self, block: u64, out: &mut BytesMut) {
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.block == Some(block))
        {
            self.close(out);
        }
    }

    /// The index of the open block, if it is Converse's `block` and of this kind.
    fn is_open(&self, block: Option<u64>, kind: &Kind) -> Option<u32> {
        self.open
            .as_ref()
            .filter(|open| open.block == block && open.kind == *kind)
            .map(|open| open.index)
    }

    pub(super) fn delta(
        &mut self,
        block: u64,
        delta: &Delta<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        let server = self.is_open(Some(block), &Kind::Server).is_some();
        if let Some(text) = delta.text.filter(|text| !text.is_empty() && !server) {
            if self.reply.core.holds_text() {
                self.held.push_str(&text.decode());
            } else if self.reply.core.reads_calls_in_text() {
                self.leaky(&text.decode(), out);
            } else {
                self.text_in(Some(block), text.as_json(), out);
            }
        }
        if let Some(citation) = delta.citation
            && let Some(citation) = citations::one(citation, &self.reply.core)
            && !self.reply.core.holds_text()
        {
            let index = self.text_block(Some(block), out);
            write_delta(index, "citations_delta", out, |out| {
                out.extend_from_slice(b"\"citation\":");
                write_json(&citation, out);
            });
        }
        if let Some(input) = delta.tool_use.and_then(|call| call.input) {
            self.arguments(block, input, out)?;
        }
        if let Some(reasoning) = &delta.reasoning_content {
            self.reasoning(block, reasoning, out);
        }
        Ok(())
    }

    fn arguments(
        &mut self,
        block: u64,
        input: JsonStr<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        let json = input.as_json();
        let Some(open) = self.open.as_mut().filter(|open| open.block == Some(block)) else {
            return Err(StreamError::NoSuchCall(block));
        };
        match &mut open.kind {
            Kind::Call { held: Some(held) }
            | Kind::Schema {
                held: Some(held), ..
            } => held.push(&input.decode()),
            Kind::Call { held: None } => input_delta(open.index, json, out),
            Kind::Schema { arguments, .. } => {
                if json != "\"\"" {
                    *arguments = true;
                    text_delta(open.index, json, out);
                }
            }
            Kind::Server => {}
            _ => return Err(StreamError::NoSuchCall(block)),
        }
        Ok(())
    }

    fn reasoning(&mut self, block: u64, delta: &ReasoningDelta<'_>, out: &mut BytesMut) {
        if let Some(data) = delta.redacted_content {
            match &mut self.open {
                Some(Open {
                    block: Some(of),
                    kind: Kind::Redacted(gathered),
                    ..
                }) if *of == block => gathered.push_str(&data.decode()),
                _ => {
                    let kind = Kind::Redacted(data.decode().into_owned());
                    self.begin(Some(block), kind, None, out);
                }
            }
        }
        for (kind, member, piece) in [
            ("thinking_delta", "\"thinking\":", delta.text),
            ("signature_delta", "\"signature\":", delta.signature),
        ] {
            let Some(piece) = piece.filter(|piece| !piece.is_empty()) else {
                continue;
            };
            let open = self.is_open(Some(block), &Kind::Thinking);
            let index = open.unwrap_or_else(|| {
                let content = Block::Thinking {
                    thinking: Cow::Borrowed(""),
                    signature: Cow::Borrowed(""),
                };
                self.begin(Some(block), Kind::Thinking, Some(&content), out);
                self.next.saturating_sub(1)
            });
            write_delta(index, kind, out, |out| {
                out.extend_from_slice(member.as_bytes());
                out.extend_from_slice(piece.as_json().as_bytes());
            });
        }
    }

    /// The index of the open text block; starts one if necessary.
    fn text_block(&mut self, block: Option<u64>, out: &mut BytesMut) -> u32 {
        if let Some(index) = self.is_open(block, &Kind::Text) {
            return index;
        }
        self.begin(block, Kind::Text, Some(&empty_text()), out);
        self.next.saturating_sub(1)
    }

    fn text_in(&mut self, block: Option<u64>, json: &str, out: &mut BytesMut) {
        let index = self.text_block(block, out);
        text_delta(index, json, out);
    }

    /// Writes text that is not part of a Converse block, as a JSON literal.
    pub(super) fn text(&mut self, json: &str, out: &mut BytesMut) {
        self.text_in(None, json, out);
    }

    /// Writes text that may contain tool calls; see [`crate::translation::leak`].
    fn leaky(&mut self, text: &str, out: &mut BytesMut) {
        let pieces = self.leak.push(text);
        self.leaky_pieces(pieces, out);
    }

    /// Writes parsed pieces of text.
    pub(super) fn leaky_pieces(&mut self, pieces: Vec<Piece>, out: &mut BytesMut) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text(&quoted(&text), out),
                Piece::Call {
                    id,
                    name,
                    arguments,
                } => {
                    self.call(None, &id, &name, out);
                    let index = self.next.saturating_sub(1);
                    let arguments = self.reply.core.original_arguments(&name, &arguments);
                    input_delta(index, &quoted(&arguments), out);
                    self.close(out);
                }
            }
        }
    }

    /// Writes a block of a whole response.
    pub(super) fn whole(&mut self, block: Block<'_>, out: &mut BytesMut) {
        match block {
            Block::Text { text, citations } => {
                self.close(out);
                let index = self.text_block(None, out);
                for citation in &citations {
                    write_delta(index, "citations_delta", out, |out| {
                        out.extend_from_slice(b"\"citation\":");
                        write_json(citation, out);
                    });
                }
                text_delta(index, &quoted(&text), out);
            }
            Block::Thinking {
                thinking,
                signature,
            } => {
                let empty = Block::Thinking {
                    thinking: Cow::Borrowed(""),
                    signature: Cow::Borrowed(""),
                };
                self.begin(None, Kind::Thinking, Some(&empty), out);
                let index = self.next.saturating_sub(1);
                for (kind, member, piece) in [
                    ("thinking_delta", "\"thinking\":", thinking),
                    ("signature_delta", "\"signature\":", signature),
                ] {
                    if !piece.is_empty() {
                        write_delta(index, kind, out, |out| {
                            out.extend_from_slice(member.as_bytes());
                            write_json(&piece, out);
                        });
                    }
                }
            }
            Block::ToolUse { id, name, input } => {
                self.call(None, &id, &name, out);
                let index = self.next.saturating_sub(1);
                input_delta(index, &quoted(RawValue::get(&input)), out);
            }
            redacted @ Block::RedactedThinking { .. } => {
                self.begin(None, Kind::Thinking, Some(&redacted), out);
            }
        }
        self.close(out);
    }
}

const fn empty_text<'a>() -> Block<'a> {
    Block::Text {
        text: Cow::Borrowed(""),
        citations: Vec::new(),
    }
}

fn text_delta(index: u32, json: &str, out: &mut BytesMut) {
    write_delta(index, "text_delta", out, |out| {
        out.extend_from_slice(b"\"text\":");
        out.extend_from_slice(json.as_bytes());
    });
}

fn input_delta(index: u32, json: &str, out: &mut BytesMut) {
    write_delta(index, "input_json_delta", out, |out| {
        out.extend_from_slice(b"\"partial_json\":");
        out.extend_from_slice(json.as_bytes());
    });
}

fn write_delta(index: u32, kind: &str, out: &mut BytesMut, inside: impl FnOnce(&mut BytesMut)) {
    out.extend_from_slice(
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":",
    );
    write_json(&index, out);
    out.extend_from_slice(b",\"delta\":{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",");
    inside(out);
    out.extend_from_slice(b"}}\n\n");
}
