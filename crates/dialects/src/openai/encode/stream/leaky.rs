//! Text that may contain tool calls; see [`crate::translation::leak`].

use bytes::BytesMut;

use super::{NO_BLOCK, StreamEncoder};
use crate::translation::{leak::Piece, write::quoted};

impl StreamEncoder {
    /// Writes text that may contain tool calls.
    pub(super) fn leaky_text(&mut self, text: &str, out: &mut BytesMut) {
        for piece in self.leak.push(text) {
            match piece {
                Piece::Text(text) => self.text(&quoted(&text), out),
                Piece::Call {
                    id,
                    name,
                    arguments,
                } => {
                    let index = self.calls;
                    self.call(NO_BLOCK, &id, &name, out);
                    self.arguments(index, &quoted(&arguments), out);
                }
            }
        }
    }
}
