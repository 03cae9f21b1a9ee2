//! An event stream from Bedrock to the client, byte by byte as it comes.
//!
//! Nothing is decoded and written anew, and nothing waits for the rest of its frame. Where the stream breaks
//! between two frames, an exception frame of the gateway's own says so, which SDKs raise as such; where it breaks
//! inside a frame, the connection breaks too, since anything else would look like data.

use std::{io, sync::Arc, time::Duration};

use axum::body::Body;
use bedrock::eventstream::exception;
use bytes::Bytes;
use futures::stream;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::usage::Watch;
use crate::{
    http::error::GatewayError,
    pipeline::{active_config::Live, record::Account, route::Target},
    server::router::State,
    upstream::{
        call::refused,
        stream::{Frames, Raw},
    },
};

/// Exception of Bedrock's model for what the gateway has to say.
const UNAVAILABLE: &str = "serviceUnavailableException";

/// A stream on its way.
struct Forward {
    raw: Raw,
    watch: Watch,
    account: Account,
    target: Arc<Target>,
    request_id: Option<String>,
    cut: CancellationToken,
    idle: Duration,
    ended: bool,
}

/// The rest of a stream as the body of an answer.
pub(super) fn forward(
    state: &State,
    live: &Live,
    frames: Frames,
    target: &Arc<Target>,
    account: Account,
) -> Body {
    let forward = Forward {
        request_id: frames.request_id(),
        raw: frames.into_raw(),
        watch: Watch::new(),
        account,
        target: Arc::clone(target),
        cut: state.cut().clone(),
        idle: live.stream_idle(),
        ended: false,
    };
    Body::from_stream(stream::unfold(forward, |mut forward| async move {
        let bytes = forward.next().await?;
        Some((bytes, forward))
    }))
}

impl Forward {
    async fn next(&mut self) -> Option<Result<Bytes, io::Error>> {
        if self.ended {
            return None;
        }
        let timeout = sleep_until(Instant::now() + self.idle);
        let next = tokio::select! {
            biased;
            next = self.raw.next() => next,
            () = self.cut.cancelled() => Err(GatewayError::ShuttingDown),
            () = timeout => Err(GatewayError::StreamIdle { seconds: self.idle.as_secs() }),
        };
        match next {
            Ok(Some(bytes)) => {
                self.watch.look(&bytes);
                self.account.first_byte();
                Some(Ok(bytes))
            }
            Ok(None) if self.watch.is_between_frames() => {
                self.close(None);
                None
            }
            Ok(None) => self.fail(&GatewayError::StreamCut),
            Err(error) => self.fail(&error),
        }
    }

    /// Says what went wrong in a way that the client cannot take for data.
    fn fail(&mut self, error: &GatewayError) -> Option<Result<Bytes, io::Error>> {
        let between = self.watch.is_between_frames();
        // After an exception of AWS's own there is nothing to add.
        let said = self.watch.exception.is_some();
        self.close(Some(error));
        if between {
            (!said).then(|| Ok(exception(UNAVAILABLE, &error.to_string())))
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
                self.account.failed(&refused(exception, &self.target, None));
            }
            (None, Some(error)) => self.account.failed(error),
            (None, None) => self.account.succeeded(),
        }
    }
}

impl Drop for Forward {
    /// A client that leaves does not take along what is known of the tokens.
    fn drop(&mut self) {
        if let Some(usage) = self.watch.usage() {
            self.account.used(usage);
        }
    }
}
