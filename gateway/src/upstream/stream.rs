//! The body of a streamed response, as events or as bytes: the connection feeds a pure decoder.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bedrock::{eventstream, sse};
use bytes::Bytes;
use hyper::body::{Body, Incoming};

use crate::{
    http::error::{GatewayError, Result},
    measure::{self, Step},
};

/// Largest event; AWS's limit is 16 MB for each frame.
pub(super) const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// A decoder of a stream format.
pub(crate) trait Decode {
    type Event;

    fn push(&mut self, bytes: Bytes);
    /// The next complete event.
    fn next(&mut self) -> Result<Option<Self::Event>>;
    /// The next complete event, without consuming it.
    fn peek(&mut self) -> Result<Option<Self::Event>>;
    fn is_empty(&self) -> bool;
    /// The bytes that were not consumed.
    fn into_rest(self) -> Bytes;
}

/// A stream with its decoder.
#[derive(Debug)]
pub(crate) struct Decoded<D> {
    body: Incoming,
    decoder: D,
    request_id: Option<String>,
}

/// Frames of an event stream.
pub(crate) type Frames = Decoded<eventstream::Decoder>;
/// Server-sent events.
pub(crate) type Events = Decoded<sse::Decoder>;

/// The undecoded bytes of a stream.
#[derive(Debug)]
pub(crate) struct Raw {
    /// Bytes that had arrived before.
    rest: Bytes,
    body: Incoming,
}

impl<D: Decode> Decoded<D> {
    pub(super) fn new(body: Incoming, decoder: D, request_id: Option<String>) -> Self {
        Self {
            body,
            decoder,
            request_id,
        }
    }

    /// AWS's request id, which exceptions in a stream do not contain.
    pub(crate) fn request_id(&self) -> Option<String> {
        self.request_id.clone()
    }

    /// The next event that has arrived.
    ///
    /// # Errors
    /// When the format is invalid.
    pub(crate) fn buffered(&mut self) -> Result<Option<D::Event>> {
        measure::step(Step::Frames, || self.decoder.next())
    }

    /// Waits for more bytes; `false` when the stream has ended.
    ///
    /// # Errors
    /// When the connection closed, or the stream ended inside an event.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        let body = Pin::new(&mut self.body);
        let frame = ready!(measure::step(Step::Client, || body.poll_frame(cx)));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    self.decoder.push(data);
                }
                Ok(true)
            }
            None if self.decoder.is_empty() => Ok(false),
            Some(Err(_)) | None => Err(GatewayError::StreamCut),
        })
    }

    /// Waits for the first event, without consuming it.
    ///
    /// # Errors
    /// When the stream ends first.
    pub(super) async fn first(&mut self) -> Result<D::Event> {
        loop {
            if let Some(event) = measure::step(Step::Frames, || self.decoder.peek())? {
                return Ok(event);
            }
            if !poll_fn(|cx| self.poll_fill(cx)).await.unwrap_or_default() {
                return Err(GatewayError::StreamUnstarted);
            }
        }
    }

    /// The same stream as bytes, after the last consumed event.
    pub(crate) fn into_raw(self) -> Raw {
        Raw {
            rest: self.decoder.into_rest(),
            body: self.body,
        }
    }
}

impl Raw {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// When the connection closed early.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Ok(Some(std::mem::take(&mut self.rest))));
        }
        loop {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Ok(Some(data))),
                    Err(_trailers) => {}
                },
                Some(Err(_)) => return Poll::Ready(Err(GatewayError::StreamCut)),
                None => return Poll::Ready(Ok(None)),
            }
        }
    }
}

macro_rules! decode {
    ($decoder:ty, $event:ty, $next:ident, $error:expr) => {
        impl Decode for $decoder {
            type Event = $event;

            fn push(&mut self, bytes: Bytes) {
                Self::push(self, bytes);
            }

            fn next(&mut self) -> Result<Option<Self::Event>> {
                self.$next().map_err($error)
            }

            fn peek(&mut self) -> Result<Option<Self::Event>> {
                Self::peek(self).map_err($error)
            }

            fn is_empty(&self) -> bool {
                Self::is_empty(self)
            }

            fn into_rest(self) -> Bytes {
                Self::into_rest(self)
            }
        }
    };
}

decode!(
    eventstream::Decoder,
    eventstream::Frame,
    next_frame,
    GatewayError::StreamGarbled
);
decode!(sse::Decoder, sse::Event, next_event, |error| {
    GatewayError::Unreadable(error.to_string())
});
