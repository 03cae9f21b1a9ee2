//! A scripted upstream that records requests byte for byte and sends scripted replies in scripted pieces; and a writer
//! and a reader of event-stream frames, written from the specification of the format.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;
use futures::stream;
use http::{HeaderMap, HeaderValue};
use http_body_util::BodyExt;

/// The reply to every request.
#[derive(Clone, Default)]
pub(crate) struct Reply {
    pub(crate) content_type: &'static str,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// Pieces of the body; the connection is reset after them if `breaks`.
    pub(crate) pieces: Vec<Bytes>,
    pub(crate) breaks: bool,
}

pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone, Default)]
struct Shared {
    reply: Arc<Mutex<Reply>>,
    received: Arc<Mutex<Vec<Received>>>,
}

pub(crate) struct Upstream {
    pub(crate) address: SocketAddr,
    shared: Shared,
    task: tokio::task::JoinHandle<()>,
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let shared = Shared::default();
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(respond).with_state(shared.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            shared,
            task,
        }
    }

    pub(crate) fn set_reply(&self, reply: Reply) {
        *self.shared.reply.lock().unwrap() = reply;
    }

    /// Takes the requests received since the last call.
    pub(crate) fn received(&self) -> Vec<Received> {
        std::mem::take(&mut self.shared.received.lock().unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn respond(State(shared): State<Shared>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = parts.uri.path().to_owned();
    let headers = parts.headers;
    shared.received.lock().unwrap().push(Received {
        path,
        headers,
        body,
    });
    let reply = shared.reply.lock().unwrap().clone();
    let mut pieces: Vec<Result<Bytes, std::io::Error>> = reply.pieces.into_iter().map(Ok).collect();
    if reply.breaks {
        pieces.push(Err(std::io::ErrorKind::ConnectionReset.into()));
    }
    let pieces = stream::unfold(pieces.into_iter(), |mut pieces| async move {
        // Lets the connection write each piece separately.
        tokio::task::yield_now().await;
        Some((pieces.next()?, pieces))
    });
    let mut response = Response::new(Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static(reply.content_type));
    for (name, value) in reply.headers {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

/// A frame with string headers.
pub(crate) fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(u8::try_from(name.len()).unwrap());
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
        head.extend_from_slice(value.as_bytes());
    }
    let total = 16 + head.len() + payload.len();
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&u32::try_from(total).unwrap().to_be_bytes());
    bytes.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(&head);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_be_bytes());
    bytes
}

pub(crate) fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    let headers = [
        (":event-type", name),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ];
    frame(&headers, payload)
}

/// Type and payload of each frame of a stream.
pub(crate) fn frames_of(mut bytes: &[u8]) -> Vec<(String, String)> {
    let number =
        |bytes: &[u8]| usize::try_from(u32::from_be_bytes(bytes.try_into().unwrap())).unwrap();
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (frame, rest) = bytes.split_at(number(&bytes[..4]));
        let (mut head, payload) = frame[12..frame.len() - 4].split_at(number(&frame[4..8]));
        let mut kind = String::new();
        while !head.is_empty() {
            let name_end = 1 + usize::from(head[0]);
            let name = std::str::from_utf8(&head[1..name_end]).unwrap();
            let length = usize::from(u16::from_be_bytes([head[name_end + 1], head[name_end + 2]]));
            let value = &head[name_end + 3..name_end + 3 + length];
            if [":event-type", ":exception-type"].contains(&name) {
                kind = String::from_utf8(value.to_vec()).unwrap();
            }
            head = &head[name_end + 3 + length..];
        }
        frames.push((kind, String::from_utf8_lossy(payload).into_owned()));
        bytes = rest;
    }
    frames
}
