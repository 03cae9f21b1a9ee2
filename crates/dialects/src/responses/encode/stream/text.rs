//! Text: one message until an item of another kind starts.

use bytes::BytesMut;

use super::{
    super::item::{Item, Kind, Literal, write_text_part},
    StreamEncoder,
};
use crate::translation::{leak::Piece, write::quoted};

impl StreamEncoder {
    /// Adds text of the model, as a JSON literal.
    pub(in super::super) fn model_text(&mut self, json: &str, out: &mut BytesMut) {
        if self.reply.core().holds_text() {
            self.held.push(json);
        } else if self.reply.core().reads_calls_in_text() {
            let mut text = Literal::default();
            text.push(json);
            let pieces = self.leak.push(&text.decode());
            self.leaky_pieces(pieces, out);
        } else {
            self.text(json, out);
        }
    }

    /// Writes parsed pieces of text; see [`crate::translation::leak`].
    pub(super) fn leaky_pieces(&mut self, pieces: Vec<Piece>, out: &mut BytesMut) {
        for piece in pieces {
            match piece {
                Piece::Text(text) => self.text(&quoted(&text), out),
                Piece::Call {
                    id,
                    name,
                    arguments,
                } => {
                    let index = self.call(None, &id, &name, out);
                    let core = self.reply.core();
                    let arguments = core.original_arguments(&name, &arguments).into_owned();
                    self.arguments(index, &quoted(&arguments), out);
                    self.end_call(index, out);
                }
            }
        }
    }

    /// Writes a piece of a message.
    pub(super) fn text(&mut self, json: &str, out: &mut BytesMut) {
        if json == "\"\"" {
            return;
        }
        let index = self.message.unwrap_or_else(|| self.begin_message(out));
        if let Some(Item {
            kind: Kind::Message { text },
            ..
        }) = self.items.get_mut(index)
        {
            text.push(json);
        }
        self.about(index, "response.output_text.delta", out, |_, out| {
            out.extend_from_slice(b"\"content_index\":0,\"logprobs\":[],\"delta\":");
            out.extend_from_slice(json.as_bytes());
        });
    }

    fn begin_message(&mut self, out: &mut BytesMut) -> usize {
        let text = Literal::default();
        let index = self.begin_item("msg", Kind::Message { text }, None, out);
        self.message = Some(index);
        self.about(index, "response.content_part.added", out, |_, out| {
            out.extend_from_slice(b"\"content_index\":0,\"part\":");
            write_text_part(&Literal::default(), out);
        });
        index
    }

    pub(super) fn end_message(&mut self, status: &'static str, out: &mut BytesMut) {
        let Some(index) = self.message.take() else {
            return;
        };
        let write_text = |item: &Item, out: &mut BytesMut, part: bool| {
            if let Kind::Message { text } = &item.kind {
                if part {
                    write_text_part(text, out);
                } else {
                    text.write(out);
                }
            }
        };
        self.about(index, "response.output_text.done", out, |item, out| {
            out.extend_from_slice(b"\"content_index\":0,\"logprobs\":[],\"text\":");
            write_text(item, out, false);
        });
        self.about(index, "response.content_part.done", out, |item, out| {
            out.extend_from_slice(b"\"content_index\":0,\"part\":");
            write_text(item, out, true);
        });
        self.end_item(index, status, out);
    }
}
