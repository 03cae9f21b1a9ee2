//! The body of a call: whole, or a client's body with a part replaced, which is sent without a copy of the rest. Pure.

use std::{
    convert::Infallible,
    ops::Range,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// Smaller bodies cost less to copy than to send in pieces.
const LARGE_BYTES: usize = 16 * 1024;

/// The body of a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Payload {
    /// The first pieces are empty once they are sent.
    pieces: [Bytes; 3],
}

impl Payload {
    /// A body with other bytes in place of a part.
    pub(crate) fn replacing(body: &Bytes, part: Range<usize>, by: &[u8]) -> Self {
        let mut before = body.clone();
        let after = before.split_off(part.end.min(body.len()));
        before.truncate(part.start);
        let pieces = [before, Bytes::copy_from_slice(by), after];
        if body.len() < LARGE_BYTES {
            return Self::from(pieces.concat());
        }
        Self { pieces }
    }

    /// Its bytes, in order.
    pub(crate) fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        let pieces = self.pieces.iter().map(|piece| &**piece);
        pieces.filter(|piece| !piece.is_empty())
    }

    fn len(&self) -> usize {
        self.pieces().map(<[u8]>::len).sum()
    }

    /// All bytes together; it has one piece then.
    pub(crate) fn whole(&mut self) -> &Bytes {
        let [before, part, _] = &self.pieces;
        if !(before.is_empty() && part.is_empty()) {
            *self = Self::from(self.pieces.concat());
        }
        let [_, _, whole] = &self.pieces;
        whole
    }
}

impl<B: Into<Bytes>> From<B> for Payload {
    fn from(body: B) -> Self {
        Self {
            pieces: [Bytes::new(), Bytes::new(), body.into()],
        }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.pieces.iter_mut().find(|piece| !piece.is_empty());
        Poll::Ready(next.map(|piece| Ok(Frame::data(std::mem::take(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.iter().all(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    /// The bytes that are sent, and their number of pieces.
    async fn sent(mut payload: Payload) -> (Vec<u8>, usize) {
        let (mut bytes, mut count) = (Vec::new(), 0);
        let length = payload.size_hint().exact();
        while let Some(frame) = payload.frame().await {
            bytes.extend(frame.unwrap().into_data().unwrap());
            count += 1;
        }
        assert!(payload.is_end_stream());
        assert_eq!(length, u64::try_from(bytes.len()).ok());
        (bytes, count)
    }

    #[tokio::test]
    async fn a_replaced_part_is_sent_between_what_is_around_it() {
        for (length, expected) in [(100, 1), (LARGE_BYTES, 3)] {
            let body = Bytes::from(vec![b'x'; length]);
            for part in [0..0, 0..3, 5..9, 97..100, 100..100, 0..length] {
                let mut payload = Payload::replacing(&body, part.clone(), b"new");
                let wanted = [&body[..part.start], b"new", &body[part.end..]].concat();
                assert_eq!(payload.pieces().collect::<Vec<_>>().concat(), wanted);
                let (bytes, count) = sent(payload.clone()).await;
                assert!(bytes == wanted && count <= expected, "{part:?}");
                assert_eq!(*payload.whole(), wanted);
                assert_eq!(sent(payload).await, (wanted, 1));
            }
            let payload = Payload::replacing(&body, 5..9, b"new");
            assert_eq!(sent(payload).await.1, expected);
        }
        assert_eq!(sent(Payload::default()).await, (Vec::new(), 0));
        assert!(Payload::default().is_end_stream());
    }
}
