//! Text that may contain tool calls; see [`crate::translation::leak`].

use bytes::BytesMut;

use super::{NO_BLOCK, StreamEncoder};
use crate::translation::{leak::Piece, write::quoted};

impl StreamEncoder {
    /// Writes text that may contain tool calls.
    pub(super) fn leaky_text(&mut self, text: &str, out: &mut BytesMut) {
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
                    let index = self.calls;
                    let core = self.reply.core();
                    let arguments = core.original_arguments(&name, &arguments).into_owned();
                    self.call(NO_BLOCK, &id, &name, out);
                    self.arguments(index, &quoted(&arguments), out);
                }
            }
        }
    }
}
