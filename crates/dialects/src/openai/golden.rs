//! Golden files of Chat Completions; see [`crate::test_support::golden`].

use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use serde_json::Value;

use super::{
    ErrorBody, ReplyContext, ResponseIdentity, StreamEncoder, StreamError, decode, encode_response,
};
use crate::test_support::{
    Dialect,
    golden::{self, Case, failure, fetch_lines, pretty, rejection, warning_lines, with_body},
};

/// Chat Completions under test.
pub(super) struct ChatCompletions;

impl Dialect for ChatCompletions {
    const DIRECTORY: &'static str = "openai";
    type Reply = ReplyContext;
    type Encoder = StreamEncoder;

    fn reply(request: Option<Value>) -> ReplyContext {
        request.map_or_else(ReplyContext::default, |request| {
            let case = Case::new(request);
            let decoded = decode(case.body.as_bytes(), &case.options());
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
        code: Option<&str>,
        message: &str,
        out: &mut BytesMut,
    ) {
        let error = ErrorBody {
            status,
            code: code.map(str::to_owned),
            message: message.to_owned(),
            ..ErrorBody::default()
        };
        encoder.error(&error, out);
    }

    fn finish(encoder: &mut StreamEncoder, out: &mut BytesMut) {
        encoder.finish(out);
    }
}

pub(super) fn identity() -> ResponseIdentity {
    ResponseIdentity {
        id: "chatcmpl-1".to_owned(),
        created: 1_750_000_000,
        model: "fast".to_owned(),
    }
}

fn request_snapshot(request: Value) -> String {
    let case = Case::new(request);
    let decoded = match decode(case.body.as_bytes(), &case.options()) {
        Err(error) => return rejection(&error),
        Ok(decoded) => decoded,
    };
    let mut lines = warning_lines(&decoded.warnings);
    lines.extend(fetch_lines(&decoded.fetches));
    if decoded.stream {
        lines.push(format!(
            "stream, upstream_stream={}, include_usage={}",
            decoded.upstream_stream, decoded.include_usage
        ));
    }
    with_body(lines, &decoded.request)
}

/// A stream without the head that is the same in every chunk.
fn compact(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    let head = "\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1750000000,\"model\":\"fast\",\"system_fingerprint\":";
    text.split_terminator("\n\n")
        .map(|event| {
            let data = event.strip_prefix("data: ").unwrap();
            if data != "[DONE]" {
                let _: Value = serde_json::from_str(data).unwrap();
            }
            match data.split_once(head) {
                Some((before, after)) => {
                    let (_, rest) = after.split_once(',').unwrap();
                    format!("{before}…{rest}\n")
                }
                None => format!("{data}\n"),
            }
        })
        .collect()
}

#[test]
fn requests_match_their_snapshots() {
    golden::requests::<ChatCompletions>("requests", request_snapshot);
}

#[test]
fn responses_match_their_snapshots() {
    golden::responses::<ChatCompletions>(|response, reply| {
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
    golden::streams::<ChatCompletions>(compact);
}
