//! Text of a model that at times writes calls of tools into it; see `encode::leak`.

use bytes::BytesMut;

use super::{NO_BLOCK, StreamEncoder};
use crate::translation::{leak::Piece, write::quoted};

impl StreamEncoder {
    /// Text of a model that at times writes calls of tools into it.
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
