//! A response body that keeps something until it is sent, such as the record of its request.
//!
//! Large pieces are handed over in parts: hyper asks for the next part when the client has read enough of the last ones.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// Largest part.
const PART_BYTES: usize = 64 * 1024;

/// A body with a guard, which is dropped with it.
#[derive(Debug)]
pub(crate) struct Held<G> {
    body: Body,
    rest: Bytes,
    _guard: G,
}

impl<G> Held<G> {
    pub(crate) fn new(body: Body, guard: G) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            _guard: guard,
        }
    }

    fn part(&mut self) -> Frame<Bytes> {
        let length = self.rest.len().min(PART_BYTES);
        Frame::data(self.rest.split_to(length))
    }
}

impl<G: Unpin> HttpBody for Held<G> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.part())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(match frame {
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.rest = data;
                    Some(Ok(self.part()))
                }
                Err(other) => Some(Ok(other)),
            },
            end => end,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = u64::try_from(self.rest.len()).unwrap_or(u64::MAX);
        let hint = self.body.size_hint();
        let mut total = SizeHint::new();
        if let Some(upper) = hint.upper() {
            total.set_upper(upper.saturating_add(rest));
        }
        total.set_lower(hint.lower().saturating_add(rest));
        total
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn hands_over_parts_and_keeps_length_and_guard() {
        let guard = Arc::new(());
        let text = vec![b'x'; PART_BYTES * 2 + 1];
        let mut body = Held::new(Body::from(text.clone()), Arc::clone(&guard));
        assert_eq!(body.size_hint().exact(), u64::try_from(text.len()).ok());
        let mut read = Vec::new();
        let mut parts = 0;
        while let Some(frame) = body.frame().await {
            parts += 1;
            read.extend_from_slice(&frame.unwrap().into_data().unwrap());
            assert_eq!(body.is_end_stream(), parts == 3);
            assert_eq!(Arc::strong_count(&guard), 2);
        }
        assert_eq!((parts, read), (3, text));
        drop(body);
        assert_eq!(Arc::strong_count(&guard), 1);
    }
}
