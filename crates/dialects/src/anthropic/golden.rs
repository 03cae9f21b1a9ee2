//! Golden files of Messages; see [`crate::test_support::golden`].
//!
//! `passthrough/<case>.json` is a request for Claude's own API.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use serde_json::Value;

use super::{
    Endpoint, ErrorBody, ReplyContext, ResponseIdentity, StreamEncoder, StreamError,
    count_by_converse, count_passthrough, decode, encode_response, passthrough,
};
use crate::{
    test_support::{
        Dialect,
        golden::{self, Case, failure, fetch_lines, pretty, rejection, warning_lines, with_body},
    },
    translation::RequestError,
};

/// Messages under test.
pub(super) struct Messages;

impl Dialect for Messages {
    const DIRECTORY: &'static str = "anthropic";
    type Reply = ReplyContext;
    type Encoder = StreamEncoder;

    fn reply(request: Option<Value>) -> ReplyContext {
        request.map_or_else(ReplyContext::default, |request| {
            let case = Case::new(request);
            let decoded = decode(case.body.as_bytes(), &case.betas(), &case.options());
            decoded.unwrap().reply
        })
    }

    fn encoder(reply: ReplyContext) -> StreamEncoder {
        StreamEncoder::new(reply, &identity())
    }

    fn event(
        encoder: &mut StreamEncoder,
        event: &StreamEvent<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError> {
        encoder.event(event, out)
    }

    fn error(
        encoder: &mut StreamEncoder,
        status: u16,
        _code: Option<&str>,
        message: &str,
        out: &mut BytesMut,
    ) {
        let error = ErrorBody {
            status,
            message: message.to_owned(),
            ..ErrorBody::default()
        };
        encoder.error(&error, out);
    }

    fn finish(encoder: &mut StreamEncoder, out: &mut BytesMut) {
        encoder.finish(out);
    }
}

fn identity() -> ResponseIdentity {
    ResponseIdentity {
        id: "msg_1".to_owned(),
        model: "fast".to_owned(),
    }
}

fn body_snapshot(result: Result<(Vec<u8>, Vec<String>), RequestError>) -> String {
    match result {
        Ok((body, warnings)) => {
            let mut lines = warning_lines(&warnings);
            lines.push(pretty(&body));
            lines.join("\n")
        }
        Err(error) => rejection(&error),
    }
}

fn request_snapshot(request: Value) -> String {
    let case = Case::new(request);
    let (body, betas, options) = (case.body.as_bytes(), case.betas(), case.options());
    if case.count() {
        return body_snapshot(count_by_converse(body, &betas, &options));
    }
    let decoded = match decode(body, &betas, &options) {
        Err(error) => return rejection(&error),
        Ok(decoded) => decoded,
    };
    let mut lines = fetch_lines(&decoded.fetches);
    if decoded.stream {
        lines.push(format!(
            "stream, upstream_stream={}",
            decoded.upstream_stream
        ));
    }
    lines.extend(warning_lines(&decoded.warnings));
    with_body(lines, &decoded.request)
}

fn passthrough_snapshot(request: Value) -> String {
    let case = Case::new(request);
    let (body, betas, options) = (case.body.as_bytes(), case.betas(), case.options());
    body_snapshot(if case.count() {
        count_passthrough(body, &betas, &options).map(|(body, warnings)| {
            let count: Value = serde_json::from_slice(&body).unwrap();
            let inner = count.pointer("/input/invokeModel/body").unwrap();
            (STANDARD.decode(inner.as_str().unwrap()).unwrap(), warnings)
        })
    } else {
        passthrough(body, &betas, Endpoint::InvokeModel, &options)
            .map(|request| (request.body, request.warnings))
    })
}

/// The data of each event; checks that the name of the event is its type.
fn compact(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    text.split_terminator("\n\n")
        .map(|event| {
            let (name, data) = event.split_once('\n').unwrap();
            let data = data.strip_prefix("data: ").unwrap();
            let tree: Value = serde_json::from_str(data).unwrap();
            assert_eq!(name, format!("event: {}", tree["type"].as_str().unwrap()));
            data
        })
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn requests_match_their_snapshots() {
    golden::requests::<Messages>("requests", request_snapshot);
}

#[test]
fn passthrough_requests_match_their_snapshots() {
    golden::requests::<Messages>("passthrough", passthrough_snapshot);
}

#[test]
fn responses_match_their_snapshots() {
    golden::responses::<Messages>(|response, reply| {
        let whole = match encode_response(response, &reply, &identity()) {
            Ok(encoded) => pretty(&encoded.body),
            Err(error) => failure(&error),
        };
        // The same response as a stream, for models that do not stream tool calls.
        let mut encoder = StreamEncoder::new(reply, &identity());
        let mut out = BytesMut::new();
        let stream = match encoder.response(response, &mut out) {
            Ok(()) => {
                encoder.finish(&mut out);
                compact(&out)
            }
            Err(error) => failure(&error),
        };
        format!("{whole}\n--- as a stream\n{stream}")
    });
}

#[test]
fn streams_match_their_snapshots() {
    golden::streams::<Messages>(compact);
}
