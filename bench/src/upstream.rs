//! The fake Bedrock: HTTP/1.1 with prepared responses, without a check of signatures.
//!
//! It also serves Chat Completions for the pass-through proxy. It checks that the request is complete: a body without its
//! marker or its end gets 400, which fails the run.

use std::{
    convert::Infallible,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskContext, Poll},
};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    time::{Interval, MissedTickBehavior, interval},
};

use crate::{
    content::{MARKER_WITHIN, Responses, cases, marked},
    scenario::{Mode, Size},
};

const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";
const JSON: &str = "application/json";
const SSE: &str = "text/event-stream; charset=utf-8";

/// Serves until the process exits.
pub(crate) async fn serve(listen: SocketAddr) -> Result<()> {
    let responses: Vec<Responses> = cases().iter().map(Responses::new).collect::<Result<_>>()?;
    let responses = Arc::new(responses);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen}"))?;
    loop {
        let (stream, _) = listener.accept().await.context("failed to accept")?;
        stream
            .set_nodelay(true)
            .context("failed to set an option")?;
        let responses = Arc::clone(&responses);
        let service = service_fn(move |request| {
            let responses = Arc::clone(&responses);
            async move { Ok::<_, Infallible>(response(request, &responses).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn response(request: Request<Incoming>, responses: &[Responses]) -> Response<Pieces> {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path();
    let Some((number, size, mode)) = read(body).await else {
        return refuse("the request is incomplete");
    };
    let Some(response) = responses.get(number) else {
        return refuse("no such case");
    };
    let last = path.rsplit('/').next().unwrap_or_default();
    let whole = |body: &Bytes| (JSON, vec![body.clone()]);
    let frames = |frames: &[Bytes]| (EVENT_STREAM, frames.to_vec());
    let agent = &response.agent;
    let (kind, pieces) = match (last, size == Size::Tools, mode == Mode::Whole) {
        ("converse", false, true) => whole(&response.converse),
        ("converse", true, true) => whole(&agent.converse),
        ("converse-stream", false, false) => frames(&response.converse_stream),
        ("converse-stream", true, false) => frames(&agent.converse_stream),
        ("invoke", true, true) => whole(&agent.claude),
        ("invoke-with-response-stream", true, false) => frames(&agent.claude_stream),
        ("completions", false, true) => whole(&response.chat),
        ("completions", false, false) => (SSE, response.chat_stream.clone()),
        _ => return refuse("the path does not match the request"),
    };
    let mut response = Response::new(Pieces::new(pieces, mode));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(
        "x-amzn-requestid",
        HeaderValue::from_static("8f1c1e9a-0000-4000-8000-1234567890ab"),
    );
    response
}

/// The requested case, size and mode, if the body is complete.
async fn read(mut body: Incoming) -> Option<(usize, Size, Mode)> {
    let mut beginning = Vec::with_capacity(MARKER_WITHIN);
    let (mut last, mut length) = (None, 0_usize);
    while let Some(frame) = body.frame().await {
        let data = frame.ok()?.into_data().ok()?;
        let room = MARKER_WITHIN.saturating_sub(beginning.len());
        beginning.extend(data.iter().take(room));
        last = data.last().copied().or(last);
        length = length.saturating_add(data.len());
    }
    let (number, size, mode) = marked(&beginning)?;
    (last == Some(b'}') && length >= size.at_least()).then_some((number, size, mode))
}

fn refuse(why: &'static str) -> Response<Pieces> {
    let body = format!("{{\"message\":\"{why}\"}}");
    let mut response = Response::new(Pieces::new(vec![Bytes::from(body)], Mode::Whole));
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

/// A body in parts, with or without a pause before each.
struct Pieces {
    left: std::vec::IntoIter<Bytes>,
    /// Length, for a body that is not streamed.
    length: Option<u64>,
    pace: Option<Interval>,
}

impl Pieces {
    fn new(pieces: Vec<Bytes>, mode: Mode) -> Self {
        let length = match (mode, pieces.first()) {
            (Mode::Whole, Some(only)) => u64::try_from(only.len()).ok(),
            _ => None,
        };
        let pace = (mode == Mode::Slow).then(|| {
            let mut pace = interval(Mode::PACE);
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            pace
        });
        Self {
            left: pieces.into_iter(),
            length,
            pace,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(pace) = &mut self.pace
            && pace.poll_tick(context).is_pending()
        {
            return Poll::Pending;
        }
        Poll::Ready(self.left.next().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.len() == 0
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.length.map_or_else(
            http_body::SizeHint::default,
            http_body::SizeHint::with_exact,
        )
    }
}
