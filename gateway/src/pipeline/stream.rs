//! Streamed responses: Bedrock's events encoded as server-sent events of the client's dialect.
//!
//! One body does everything: it waits for bytes, encodes all complete events into one buffer and hands it over,
//! without a task or queue in between. It is polled by hand, because a future for each event is written and moved again
//! for each event. While Bedrock is silent it sends keep-alives, so that no proxy closes the
//! stream. After a long silence, a broken stream or an exception it ends with an error event. When the client
//! disconnects, the body is dropped, and with it the call.

mod waits;

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use axum::{body::Body, response::Response};
use bedrock::{ServiceError, eventstream::MessageType};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body as HttpBody, Frame};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;

pub(crate) use self::waits::{Limits, Waits};
use super::{
    endpoint::{StreamEncoder, StreamingEndpoint},
    exchange::Exchange,
    record::RequestRecord,
};
use crate::{
    http::{
        decoders::apart,
        error::{GatewayError, Result},
        response::{add_cache_report, add_warnings, copy_request_id},
    },
    measure::{self, Step as Part},
    telemetry::timing,
    upstream::{
        call::Prepared,
        health::Failure,
        response::{Content, UpstreamResponse, error_event, refused},
        stream::{Events, Frames},
        target::Target,
    },
};

/// Time in which the usage is awaited after the client has left: it follows the last text.
pub(crate) const DRAIN: Duration = Duration::from_secs(1);

/// Bytes of a usual event.
const USUAL_BYTES: usize = 512;

/// A finished call: the endpoint, the record and the response.
type Opened<E, C> = (E, RequestRecord, Result<UpstreamResponse<C>>);

/// A call without a response yet.
type Opening<E, C> = Pin<Box<dyn Future<Output = Opened<E, C>> + Send>>;

/// A failed call, with the record for its error.
pub(crate) type Failed = Box<(RequestRecord, GatewayError)>;

/// The body of a streamed response.
struct Pump<E: StreamingEndpoint> {
    phase: Phase<E>,
    cut: CancellationToken,
    ping: Duration,
    limits: Limits,
    request_id: String,
}

enum Phase<E: StreamingEndpoint> {
    /// The response headers are sent, Bedrock's have not arrived.
    Opening(Opening<E, E::Context>, Pin<Box<Sleep>>),
    Flowing(Box<Flow>),
    /// The complete response of a model that does not stream, with its record.
    Whole(Bytes, Box<RequestRecord>),
    Ended,
}

struct Flow {
    record: RequestRecord,
    target: Arc<Target>,
    began: Instant,
    source: Source,
    encoder: Box<dyn StreamEncoder>,
    /// The error that ends the stream after the pending events.
    failure: Option<GatewayError>,
    waits: Waits,
    /// Whether Bedrock's stream has ended.
    complete: bool,
    /// Number of events.
    events: u64,
}

/// The events of a stream.
enum Source {
    Frames(Frames),
    Events(Events),
}

/// Starts a call and responds when its first event has arrived, or with an open stream if that takes long. Until
/// then, errors are plain HTTP errors.
///
/// # Errors
/// The error of the call, with the record.
pub(crate) async fn open<E: StreamingEndpoint>(
    exchange: Exchange<E>,
    first: Prepared<E::Context>,
    mut record: RequestRecord,
) -> Result<Response, Failed> {
    let ping = exchange.state.settings().ping_interval;
    let mut pump: Pump<E> = Pump {
        phase: Phase::Ended,
        cut: exchange.state.cut().clone(),
        ping,
        limits: Limits::new(&exchange.routed.active, Instant::now()),
        request_id: record.request_id().to_owned(),
    };
    let cache_report = record.cache_report().map(ToOwned::to_owned);
    // Of the first target, unless the response arrives before the headers are sent.
    let mut warnings = first.warnings.clone();
    let mut opening: Opening<E, E::Context> = Box::pin(async move {
        let result = exchange.perform(first, record.calls()).await;
        record.end(timing::Step::Upstream);
        (exchange.endpoint, record, result)
    });
    let mut upstream_headers = HeaderMap::new();
    match timeout(ping, &mut opening).await {
        Ok((endpoint, record, Ok(response))) => {
            upstream_headers.clone_from(&response.headers);
            warnings.clone_from(&response.warnings);
            pump.flow(&endpoint, record, response)?;
        }
        Ok((_, record, Err(error))) => return Err(Box::new((record, error))),
        Err(_elapsed) => pump.phase = Phase::Opening(opening, Box::pin(sleep(ping))),
    }
    let mut response = Response::new(Body::new(pump));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Without it nginx buffers the stream.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    copy_request_id(&upstream_headers, headers);
    add_warnings(headers, &warnings);
    add_cache_report(headers, cache_report.as_deref());
    Ok(response)
}

impl<E: StreamingEndpoint> Pump<E> {
    /// Begins to encode a response.
    fn flow(
        &mut self,
        endpoint: &E,
        mut record: RequestRecord,
        response: UpstreamResponse<E::Context>,
    ) -> Result<(), Failed> {
        record.set_warnings(&response.warnings);
        let mut encoder = endpoint.encoder(response.context);
        let source = match response.content {
            Content::Stream(frames) => Source::Frames(*frames),
            Content::Events(events) => Source::Events(*events),
            Content::Whole(body) => {
                let mut out = BytesMut::new();
                let written = apart(body.len(), || encoder.whole(&body, &mut out));
                let usage = match &written {
                    Err(GatewayError::Response(error)) => Some(*error.usage),
                    _ => encoder.usage(),
                };
                if let Some(usage) = usage {
                    record.set_usage(usage);
                }
                if let Err(error) = written.and_then(|()| encoder.finish(&mut out)) {
                    return Err(Box::new((record, error)));
                }
                self.phase = Phase::Whole(out.freeze(), Box::new(record));
                return Ok(());
            }
        };
        self.phase = Phase::Flowing(Box::new(Flow {
            record,
            target: response.target,
            began: response.began,
            source,
            encoder,
            failure: None,
            waits: Waits::new(self.cut.clone(), self.ping, self.limits),
            complete: false,
            events: 0,
        }));
        Ok(())
    }

    /// The next bytes for the client; `None` at the end.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match &mut self.phase {
                Phase::Ended => return Poll::Ready(None),
                Phase::Whole(bytes, record) => {
                    let bytes = std::mem::take(bytes);
                    record.first_byte();
                    record.succeeded();
                    self.phase = Phase::Ended;
                    return Poll::Ready(Some(bytes));
                }
                Phase::Opening(opening, silence) => {
                    let Poll::Ready((endpoint, record, result)) = opening.as_mut().poll(cx) else {
                        ready!(silence.as_mut().poll(cx));
                        let now = Instant::now();
                        let next = now.checked_add(self.ping).unwrap_or(now);
                        silence.as_mut().reset(next);
                        return Poll::Ready(Some(Self::ping()));
                    };
                    let failed = match result {
                        Ok(response) => self.flow(&endpoint, record, response).err(),
                        Err(error) => Some(Box::new((record, error))),
                    };
                    if let Some(failed) = failed {
                        let (record, error) = *failed;
                        let bytes = self.fail_before_start(&endpoint, record, &error);
                        return Poll::Ready(Some(bytes));
                    }
                }
                Phase::Flowing(flow) => {
                    let bytes = match ready!(flow.poll_step(cx)) {
                        Ok(Step::Bytes(bytes)) => return Poll::Ready(Some(bytes)),
                        Ok(Step::Silent) => return Poll::Ready(Some(Self::ping())),
                        Ok(Step::End(bytes)) => bytes,
                        Err(error) => flow.fail(&error, &self.request_id),
                    };
                    self.phase = Phase::Ended;
                    return Poll::Ready(Some(bytes));
                }
            }
        }
    }

    fn ping() -> Bytes {
        Bytes::from_static(E::DIALECT.ping())
    }

    /// Ends the stream with an error before its first event.
    fn fail_before_start(
        &mut self,
        endpoint: &E,
        mut record: RequestRecord,
        error: &GatewayError,
    ) -> Bytes {
        self.phase = Phase::Ended;
        record.failed(error);
        let mut out = BytesMut::new();
        endpoint.write_error(error, &self.request_id, &mut out);
        out.freeze()
    }
}

impl<E: StreamingEndpoint> HttpBody for Pump<E> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = measure::step(Part::Stream, || self.poll_next(cx));
        next.map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Drop for Flow {
    /// Records the known usage, also when the client disconnects.
    fn drop(&mut self) {
        match self.encoder.usage() {
            Some(usage) => self.record.set_usage(usage),
            None => self.record.set_events(self.events),
        }
    }
}

impl<E: StreamingEndpoint> Drop for Pump<E> {
    /// Waits for the usage if the client has left.
    fn drop(&mut self) {
        if let Phase::Flowing(mut flow) = std::mem::replace(&mut self.phase, Phase::Ended)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            runtime.spawn(async move {
                let _elapsed = timeout(DRAIN, flow.drain()).await;
            });
        }
    }
}

enum Step {
    Bytes(Bytes),
    Silent,
    End(Bytes),
}

impl Source {
    /// Waits for more data; `false` at the end of the stream.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool>> {
        match self {
            Self::Frames(frames) => frames.poll_fill(cx),
            Self::Events(events) => events.poll_fill(cx),
        }
    }

    async fn fill(&mut self) -> Result<bool> {
        std::future::poll_fn(|cx| self.poll_fill(cx)).await
    }
}

impl Flow {
    /// Reads the rest.
    async fn drain(&mut self) {
        let mut unsent = BytesMut::new();
        while !self.complete
            && self.write_all(&mut unsent).is_ok()
            && let Ok(filled) = self.source.fill().await
        {
            unsent.clear();
            self.complete = !filled;
        }
        let _broken = self.write_all(&mut unsent);
    }

    fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Result<Step>> {
        let mut out = BytesMut::new();
        loop {
            // Events that arrived before a failure in the same read are sent first.
            if self.failure.is_none() {
                self.failure = self.write_all(&mut out).err();
            }
            if !out.is_empty() {
                self.record.first_byte();
                return Poll::Ready(Ok(Step::Bytes(out.freeze())));
            }
            if let Some(failure) = self.failure.take() {
                return Poll::Ready(Err(failure));
            }
            if self.complete {
                return Poll::Ready(Ok(Step::End(self.finish())));
            }
            // The connection is polled first: most waits are short.
            let Poll::Ready(filled) = self.source.poll_fill(cx) else {
                return self.waits.poll_silence(cx).map_ok(|()| Step::Silent);
            };
            self.complete = !filled?;
            if !self.complete {
                self.waits.received()?;
            }
        }
    }

    /// Encodes all complete events.
    fn write_all(&mut self, out: &mut BytesMut) -> Result<()> {
        loop {
            match &mut self.source {
                Source::Frames(frames) => {
                    let Some(frame) = frames.buffered()? else {
                        return Ok(());
                    };
                    self.events = self.events.saturating_add(1);
                    out.reserve(USUAL_BYTES);
                    if frame.message_type != MessageType::Event {
                        let error = ServiceError::from_frame(&frame);
                        let error = error.with_request_id(frames.request_id());
                        return Err(refused(error, &self.target, None));
                    }
                    measure::step(Part::Encode, || self.encoder.frame(&frame, out))?;
                }
                Source::Events(events) => {
                    let Some(event) = events.buffered()? else {
                        return Ok(());
                    };
                    self.events = self.events.saturating_add(1);
                    if let Some(error) = error_event(&event) {
                        let error = error.with_request_id(events.request_id());
                        return Err(refused(error, &self.target, None));
                    }
                    measure::step(Part::Encode, || self.encoder.event(&event, out))?;
                }
            }
        }
    }

    /// Ends the stream; the encoder knows whether the response was complete.
    fn finish(&mut self) -> Bytes {
        let mut out = BytesMut::new();
        match self.encoder.finish(&mut out) {
            Ok(()) => {
                self.target.succeeded(self.began);
                self.record.succeeded();
            }
            Err(error) => {
                self.target.failed(&error, Failure::Visible, self.began);
                self.record.failed(&error);
            }
        }
        out.freeze()
    }

    fn fail(&mut self, error: &GatewayError, request_id: &str) -> Bytes {
        self.target.failed(error, Failure::Visible, self.began);
        self.record.failed(error);
        let mut out = BytesMut::new();
        self.encoder.error(error, request_id, &mut out);
        out.freeze()
    }
}
