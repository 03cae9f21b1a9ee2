//! A streamed answer: from Bedrock's frames straight to server-sent events, step 7.
//!
//! One future pumps: it waits for bytes, writes all events that are complete into one buffer and hands
//! that over, with no task or queue between. While Bedrock is silent it sends comments, so that nothing
//! on the way takes the stream for dead; after too long a silence, a broken stream or an exception it
//! ends with an error event. When the client leaves, the body is dropped, and with it the call.

use std::{convert::Infallible, pin::Pin, sync::Arc, time::Duration};

use axum::{body::Body, response::Response};
use bedrock::{
    ServiceError,
    converse::TokenUsage,
    eventstream::{Frame, MessageType},
    sse::Event,
};
use bytes::{Bytes, BytesMut};
use futures::stream;
use http::{HeaderValue, header};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    http::error::GatewayError,
    pipeline::{
        driver::{add_warnings, pass_request_id},
        record::Account,
        route::Target,
    },
    upstream::{
        call::{Answer, Call, Content, error_event, refused},
        stream::{Events, Frames},
    },
};

/// How a dialect answers.
pub(crate) trait Dialect: Send + 'static {
    /// What decoding leaves for the way back.
    type Context: Send + 'static;

    /// An answer that is no stream, as the client gets it; its token counts go to the account.
    ///
    /// # Errors
    /// When it cannot be read, or not be given to the client.
    fn whole(
        &self,
        context: Self::Context,
        body: Bytes,
        account: &mut Account,
    ) -> Result<Bytes, GatewayError>;

    /// An encoder for one stream.
    fn encoder(&self, context: Self::Context) -> Box<dyn Encode>;

    /// Writes an error that came before there was anything to encode.
    fn refuse(&self, error: &GatewayError, request_id: &str, out: &mut BytesMut);

    /// Sent while Bedrock is silent; clients pass over it, proxies see life.
    fn ping(&self) -> Bytes;
}

/// Writes one stream of Bedrock's in a client's dialect.
pub(crate) trait Encode: Send {
    /// Writes what a frame becomes; often nothing.
    ///
    /// # Errors
    /// When the event makes no sense where it stands. [`Self::error`] follows then.
    fn event(&mut self, frame: &Frame, out: &mut BytesMut) -> Result<(), GatewayError>;

    /// Writes what a server-sent event of Bedrock's own endpoints becomes.
    ///
    /// # Errors
    /// Where the dialect never asks for such a stream, or the event makes no sense.
    fn server_sent(&mut self, _: &Event, _: &mut BytesMut) -> Result<(), GatewayError> {
        Err(GatewayError::Internal(
            "server-sent events where none were asked for",
        ))
    }

    /// Writes an answer that came whole, of a model that does not stream. [`Self::finish`] follows.
    ///
    /// # Errors
    /// When it cannot be given to the client.
    fn whole(&mut self, body: &[u8], out: &mut BytesMut) -> Result<(), GatewayError>;

    /// Writes the proper end of the stream, which is an error event where the answer is not complete.
    ///
    /// # Errors
    /// Why it is not, for the account.
    fn finish(&mut self, out: &mut BytesMut) -> Result<(), GatewayError>;

    /// Ends the stream with an error event.
    fn error(&mut self, error: &GatewayError, request_id: &str, out: &mut BytesMut);

    /// Token counts, once Bedrock has given them.
    fn usage(&self) -> Option<TokenUsage>;
}

/// A call that has not answered yet; gives the account back with the answer.
type Opening<C> = Pin<Box<dyn Future<Output = (Account, Result<Answer<C>, GatewayError>)> + Send>>;

/// Why a call failed, with the account to write that into.
pub(crate) type Failed = Box<(Account, GatewayError)>;

/// The body of a streamed answer.
struct Pump<D: Dialect> {
    phase: Phase<D::Context>,
    dialect: D,
    cut: CancellationToken,
    ping: Duration,
    idle: Duration,
    request_id: String,
}

enum Phase<C> {
    /// The headers are out, Bedrock's are not in.
    Opening(Opening<C>),
    Flowing(Box<Flow>),
    /// All there is, of a model that does not stream; the account is closed once it is out.
    Whole(Bytes, Box<Account>),
    Ended,
}

struct Flow {
    account: Account,
    target: Arc<Target>,
    source: Source,
    encoder: Box<dyn Encode>,
    /// What ends the stream, once the events before it are out.
    failure: Option<GatewayError>,
    /// When bytes last came.
    last: Instant,
    /// Bedrock has said all; what is left is the end.
    complete: bool,
}

/// Where the pieces of a stream come from.
enum Source {
    Frames(Frames),
    Events(Events),
}

/// Starts a call and answers once its first event is there, or with an open stream when that takes
/// long. Until then, errors are plain HTTP errors.
///
/// # Errors
/// Why the call failed, with the account to write that into.
pub(crate) async fn open<D: Dialect>(
    call: Call<D::Context>,
    dialect: D,
    mut account: Account,
) -> Result<Response, Failed> {
    let ping = call.state.settings().ping_interval;
    let mut pump = Pump {
        phase: Phase::Ended,
        dialect,
        cut: call.state.cut().clone(),
        ping,
        idle: call.live.stream_idle(),
        request_id: account.request_id().to_owned(),
    };
    // Of the first target, unless the answer is there before the headers have to go out.
    let mut warnings = call.first.warnings.clone();
    let mut opening: Opening<D::Context> = Box::pin(async move {
        let result = call.perform(account.calls()).await;
        (account, result)
    });
    let mut upstream_headers = http::HeaderMap::new();
    match timeout(ping, &mut opening).await {
        Ok((account, Ok(answer))) => {
            upstream_headers.clone_from(&answer.headers);
            warnings.clone_from(&answer.warnings);
            pump.flow(account, answer)?;
        }
        Ok((account, Err(error))) => return Err(Box::new((account, error))),
        Err(_elapsed) => pump.phase = Phase::Opening(opening),
    }
    let chunks = stream::unfold(pump, |mut pump| async move {
        let chunk = pump.next().await?;
        Some((Ok::<_, Infallible>(chunk), pump))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // nginx and its like would gather the stream.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    pass_request_id(&upstream_headers, headers);
    add_warnings(headers, &warnings);
    Ok(response)
}

impl<D: Dialect> Pump<D> {
    /// Begins to pass on an answer.
    fn flow(&mut self, mut account: Account, answer: Answer<D::Context>) -> Result<(), Failed> {
        let mut encoder = self.dialect.encoder(answer.context);
        match answer.content {
            Content::Stream(frames) => {
                let source = Source::Frames(*frames);
                self.phase = Phase::Flowing(Flow::new(account, answer.target, source, encoder));
            }
            Content::Events(events) => {
                let source = Source::Events(*events);
                self.phase = Phase::Flowing(Flow::new(account, answer.target, source, encoder));
            }
            Content::Whole(body) => {
                let mut out = BytesMut::new();
                let written = encoder.whole(&body, &mut out);
                let used = match &written {
                    Err(GatewayError::Answer(error)) => Some(error.usage),
                    _ => encoder.usage(),
                };
                if let Some(usage) = used {
                    account.used(usage);
                }
                if let Err(error) = written.and_then(|()| encoder.finish(&mut out)) {
                    return Err(Box::new((account, error)));
                }
                self.phase = Phase::Whole(out.freeze(), Box::new(account));
            }
        }
        Ok(())
    }

    /// The next bytes for the client; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match &mut self.phase {
                Phase::Ended => return None,
                Phase::Whole(bytes, account) => {
                    let bytes = std::mem::take(bytes);
                    account.first_byte();
                    account.succeeded();
                    self.phase = Phase::Ended;
                    return Some(bytes);
                }
                Phase::Opening(opening) => {
                    let outcome = tokio::select! {
                        biased;
                        outcome = opening => outcome,
                        () = tokio::time::sleep(self.ping) => return Some(self.dialect.ping()),
                    };
                    let failed = match outcome {
                        (account, Ok(answer)) => self.flow(account, answer).err(),
                        (account, Err(error)) => Some(Box::new((account, error))),
                    };
                    if let Some(failed) = failed {
                        let (account, error) = *failed;
                        return Some(self.end_before_it_began(account, &error));
                    }
                }
                Phase::Flowing(flow) => match flow.step(&self.cut, self.ping, self.idle).await {
                    Ok(Step::Bytes(bytes)) => return Some(bytes),
                    Ok(Step::Silent) => return Some(self.dialect.ping()),
                    Ok(Step::End(bytes)) => {
                        self.phase = Phase::Ended;
                        return Some(bytes);
                    }
                    Err(error) => {
                        let bytes = flow.fail(&error, &self.request_id);
                        self.phase = Phase::Ended;
                        return Some(bytes);
                    }
                },
            }
        }
    }

    /// An error after the headers went out, before anything else did.
    fn end_before_it_began(&mut self, mut account: Account, error: &GatewayError) -> Bytes {
        self.phase = Phase::Ended;
        account.failed(error);
        let mut out = BytesMut::new();
        self.dialect.refuse(error, &self.request_id, &mut out);
        out.freeze()
    }
}

impl Drop for Flow {
    /// A client that leaves does not take along what is known of the tokens.
    fn drop(&mut self) {
        if let Some(usage) = self.encoder.usage() {
            self.account.used(usage);
        }
    }
}

enum Step {
    Bytes(Bytes),
    Silent,
    End(Bytes),
}

impl Source {
    /// Waits for more bytes; `false` when the stream has ended. Safe to be cancelled.
    async fn fill(&mut self) -> Result<bool, GatewayError> {
        match self {
            Self::Frames(frames) => frames.fill().await,
            Self::Events(events) => events.fill().await,
        }
    }
}

impl Flow {
    fn new(
        account: Account,
        target: Arc<Target>,
        source: Source,
        encoder: Box<dyn Encode>,
    ) -> Box<Self> {
        Box::new(Self {
            account,
            target,
            source,
            encoder,
            failure: None,
            last: Instant::now(),
            complete: false,
        })
    }

    async fn step(
        &mut self,
        cut: &CancellationToken,
        ping: Duration,
        idle: Duration,
    ) -> Result<Step, GatewayError> {
        let mut out = BytesMut::new();
        loop {
            // Events that came before a failure in the same read still go out before it.
            if self.failure.is_none() {
                self.failure = self.write_all(&mut out).err();
            }
            if !out.is_empty() {
                self.account.first_byte();
                return Ok(Step::Bytes(out.freeze()));
            }
            if let Some(failure) = self.failure.take() {
                return Err(failure);
            }
            if self.complete {
                return Ok(Step::End(self.finish()));
            }
            let left = idle.saturating_sub(self.last.elapsed());
            // Timers are only set up when the wait is a real one: the connection is looked at first.
            tokio::select! {
                biased;
                filled = self.source.fill() => {
                    self.last = Instant::now();
                    self.complete = !filled?;
                }
                () = cut.cancelled() => return Err(GatewayError::ShuttingDown),
                () = tokio::time::sleep(ping.min(left)) => {
                    if self.last.elapsed() >= idle {
                        return Err(GatewayError::StreamIdle { seconds: idle.as_secs() });
                    }
                    return Ok(Step::Silent);
                }
            }
        }
    }

    /// Writes all events that are complete.
    fn write_all(&mut self, out: &mut BytesMut) -> Result<(), GatewayError> {
        loop {
            match &mut self.source {
                Source::Frames(frames) => {
                    let Some(frame) = frames.buffered()? else {
                        return Ok(());
                    };
                    if frame.message_type != MessageType::Event {
                        let error = ServiceError::from_frame(&frame);
                        let error = error.with_request_id(frames.request_id());
                        return Err(refused(error, &self.target, None));
                    }
                    self.encoder.event(&frame, out)?;
                }
                Source::Events(events) => {
                    let Some(event) = events.buffered()? else {
                        return Ok(());
                    };
                    if let Some(error) = error_event(&event) {
                        let error = error.with_request_id(events.request_id());
                        return Err(refused(error, &self.target, None));
                    }
                    self.encoder.server_sent(&event, out)?;
                }
            }
        }
    }

    /// The proper end: the encoder knows whether the answer was complete.
    fn finish(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        match self.encoder.finish(&mut out) {
            Ok(()) => self.account.succeeded(),
            Err(error) => self.account.failed(&error),
        }
        out.freeze()
    }

    fn fail(&mut self, error: &GatewayError, request_id: &str) -> Bytes {
        self.account.failed(error);
        let mut out = BytesMut::new();
        self.encoder.error(error, request_id, &mut out);
        out.freeze()
    }
}
