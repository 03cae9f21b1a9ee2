//! Forwards an event stream of Bedrock byte by byte.
//!
//! Frames are not encoded again, and bytes do not wait for the rest of their frame. If the stream breaks between two
//! frames, the gateway adds an exception frame, which SDKs raise as an error. If it breaks inside a frame, the gateway
//! closes the connection, since the client would take any other bytes for data.

use std::{
    future::poll_fn,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bedrock::eventstream::exception;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, timeout};

use super::usage::Watch;
use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::ActiveConfig,
        record::RequestRecord,
        state::State,
        stream::{DRAIN, Limits, Waits},
    },
    upstream::{
        health::Failure,
        response::refused,
        stream::{Frames, Raw},
        target::Target,
    },
};

/// Exception type for errors of the gateway.
const UNAVAILABLE: &str = "serviceUnavailableException";

/// A forwarded stream; none once it has been dropped.
struct Forward(Option<Box<Stream>>);

struct Stream {
    raw: Raw,
    watch: Watch,
    record: RequestRecord,
    target: Arc<Target>,
    began: Instant,
    request_id: Option<String>,
    waits: Waits,
    /// The error that ends the stream after the last bytes.
    failure: Option<GatewayError>,
    ended: bool,
}

/// The stream as the body of a response.
pub(super) fn forward(
    state: &State,
    active: &ActiveConfig,
    (frames, watch): (Frames, Watch),
    (target, began): (Arc<Target>, Instant),
    record: RequestRecord,
) -> Body {
    let limits = Limits::new(active, began);
    let stream = Stream {
        request_id: frames.request_id(),
        raw: frames.into_raw(),
        watch,
        record,
        target,
        began,
        // AWS's format has no keep-alives.
        waits: Waits::new(state.cut().clone(), Duration::MAX, limits),
        failure: None,
        ended: false,
    };
    Body::new(Forward(Some(Box::new(stream))))
}

impl HttpBody for Forward {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let next = stream.poll_next(cx);
        next.map(|bytes| bytes.map(|bytes| bytes.map(Frame::data)))
    }
}

impl Drop for Forward {
    /// Waits for the usage if the client has left.
    fn drop(&mut self) {
        if let Some(mut stream) = self.0.take().filter(|stream| !stream.ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _elapsed = timeout(DRAIN, stream.drain()).await;
            });
        }
    }
}

impl Stream {
    async fn drain(&mut self) {
        while let Ok(Some(bytes)) = poll_fn(|cx| self.raw.poll_next(cx)).await {
            self.watch.scan(&bytes);
        }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(failure) = self.failure.take() {
            return Poll::Ready(self.fail(&failure));
        }
        let next = match self.raw.poll_next(cx) {
            Poll::Ready(next) => next,
            Poll::Pending => match self.waits.poll_silence(cx) {
                Poll::Ready(Err(error)) => Err(error),
                Poll::Ready(Ok(())) | Poll::Pending => return Poll::Pending,
            },
        };
        Poll::Ready(match next {
            Ok(Some(bytes)) => {
                self.failure = self.waits.received().err();
                self.watch.scan(&bytes);
                self.record.first_byte();
                Some(Ok(bytes))
            }
            Ok(None) if self.watch.is_whole() => {
                self.close(None);
                None
            }
            Ok(None) => self.fail(&GatewayError::StreamCut),
            Err(error) => self.fail(&error),
        })
    }

    /// Ends the stream with an error that the client cannot mistake for data.
    fn fail(&mut self, error: &GatewayError) -> Option<Result<Bytes, io::Error>> {
        let between = self.watch.is_between_frames();
        // AWS's own exception is enough.
        let reported = self.watch.exception.is_some();
        self.close(Some(error));
        if between {
            (!reported).then(|| Ok(exception(UNAVAILABLE, &error.to_string())))
        } else {
            Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof)))
        }
    }

    fn close(&mut self, error: Option<&GatewayError>) {
        self.ended = true;
        let exception = self.watch.exception.take();
        match (exception, error) {
            (Some(exception), _) => {
                let exception = exception.with_request_id(self.request_id.clone());
                let error = refused(exception, &self.target, None);
                self.target.failed(&error, Failure::Visible, self.began);
                self.record.failed(&error);
            }
            (None, Some(error)) => {
                self.target.failed(error, Failure::Visible, self.began);
                self.record.failed(error);
            }
            (None, None) => {
                self.target.succeeded(self.began);
                self.record.succeeded();
            }
        }
    }
}

impl Drop for Stream {
    /// Records the known usage, also when the client disconnects.
    fn drop(&mut self) {
        match self.watch.usage() {
            Some(usage) => self.record.set_usage(usage),
            None => self.record.set_events(self.watch.events),
        }
    }
}
