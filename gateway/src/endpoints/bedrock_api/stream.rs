//! Forwards an event stream of Bedrock byte by byte.
//!
//! Frames are not encoded again, and bytes do not wait for the rest of their frame. If the stream breaks between two
//! frames, the gateway adds an exception frame, which SDKs raise as an error. If it breaks inside a frame, the gateway
//! closes the connection, since the client would take any other bytes for data.

use std::{io, sync::Arc};

use axum::body::Body;
use bedrock::eventstream::exception;
use bytes::Bytes;
use futures::stream;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::usage::Watch;
use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::ActiveConfig,
        record::RequestRecord,
        state::State,
        stream::{DRAIN, Limits},
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
    cut: CancellationToken,
    limits: Limits,
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
    let stream = Stream {
        request_id: frames.request_id(),
        raw: frames.into_raw(),
        watch,
        record,
        target,
        began,
        cut: state.cut().clone(),
        limits: Limits::new(active, began),
        ended: false,
    };
    let forward = Forward(Some(Box::new(stream)));
    Body::from_stream(stream::unfold(forward, |mut forward| async move {
        let bytes = forward.0.as_mut()?.next().await?;
        Some((bytes, forward))
    }))
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
        while let Ok(Some(bytes)) = self.raw.next().await {
            self.watch.scan(&bytes);
        }
    }

    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.ended {
            return None;
        }
        let left = match self.limits.left(Instant::now()) {
            Ok(left) => left,
            Err(error) => return self.fail(&error),
        };
        let silence = sleep_until(Instant::now() + left);
        let next = tokio::select! {
            biased;
            next = self.raw.next() => next,
            () = self.cut.cancelled() => Err(GatewayError::ShuttingDown),
            () = silence => Err(self.limits.error(Instant::now())),
        };
        match next {
            Ok(Some(bytes)) => {
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
        }
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
