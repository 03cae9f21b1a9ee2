//! Golden files of Responses; see [`crate::test_support::golden`].
//!
//! The strict checker also reads every stream, and the last event of a stream is compared with the whole
//! response.

use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use serde_json::{Value, json};

use super::{ReplyContext, StreamEncoder, checker, decode, encode_response};
use crate::{
    test_support::{
        Dialect,
        golden::{self, Case, failure, fetch_lines, rejection, warning_lines, with_body},
    },
    translation::{
        StreamError,
        openai_shapes::{error::ErrorBody, response::ResponseIdentity},
    },
};

/// Responses under test.
pub(super) struct Responses;

impl Dialect for Responses {
    const DIRECTORY: &'static str = "responses";
    type Reply = ReplyContext;
    type Encoder = StreamEncoder;

    fn reply(request: Option<Value>) -> ReplyContext {
        let plain = json!({"model": "anthropic.claude-sonnet-4-6", "input": "hi"});
        let case = Case::new(request.unwrap_or(plain));
        let decoded = decode(case.body.as_bytes(), &case.options());
        decoded.unwrap().reply
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
        id: "resp_1".to_owned(),
        created: 1_750_000_000,
        model: "fast".to_owned(),
    }
}

/// Replaces `SEALED(text|signature)` and `SEALED_REDACTED(data)` by reasoning that the gateway sealed.
fn seal(request: &mut Value) {
    match request {
        Value::String(text) => {
            let inside = |prefix: &str| text.strip_prefix(prefix)?.strip_suffix(')');
            if let Some((words, signature)) =
                inside("SEALED(").and_then(|inside| inside.split_once('|'))
            {
                *text = super::carrier::seal_signed(words, signature);
            } else if let Some(data) = inside("SEALED_REDACTED(") {
                *text = super::carrier::seal_redacted(data);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(seal),
        Value::Object(members) => members.values_mut().for_each(seal),
        _ => {}
    }
}

fn request_snapshot(mut request: Value) -> String {
    seal(&mut request);
    let case = Case::new(request);
    let decoded = match decode(case.body.as_bytes(), &case.options()) {
        Err(error) => return rejection(&error),
        Ok(decoded) => decoded,
    };
    let mut lines = warning_lines(&decoded.warnings);
    lines.extend(fetch_lines(&decoded.fetches));
    if decoded.stream {
        lines.push(format!(
            "stream, upstream_stream={}",
            decoded.upstream_stream
        ));
    }
    with_body(lines, &decoded.request)
}

/// A stream whose response objects are reduced to the members that change.
fn compact(out: &[u8]) -> String {
    let text = std::str::from_utf8(out).unwrap();
    let events = text.split_terminator("\n\n").map(|event| {
        let (_, data) = event.split_once("\ndata: ").unwrap();
        let mut event: Value = serde_json::from_str(data).unwrap();
        let members = event.as_object_mut().unwrap();
        members.shift_remove("sequence_number");
        if let Some(response) = members.get_mut("response") {
            let kept = [
                "status",
                "error",
                "incomplete_details",
                "service_tier",
                "usage",
            ];
            let kept = kept.map(|member| (member, response[member].clone()));
            let kept = kept.into_iter().filter(|(_, value)| !value.is_null());
            *response = kept.map(|(name, value)| (name.to_owned(), value)).collect();
        }
        event.to_string()
    });
    events.collect::<Vec<_>>().join("\n")
}

#[test]
fn requests_match_their_snapshots() {
    golden::requests::<Responses>("requests", request_snapshot);
}

#[test]
fn responses_match_their_snapshots() {
    golden::responses::<Responses>(|response, reply| {
        let mut out = BytesMut::new();
        let mut encoder = StreamEncoder::new(reply.clone(), &identity());
        match encode_response(response, reply, &identity()) {
            Ok(response_body) => {
                let whole: Value = serde_json::from_slice(&response_body.body).unwrap();
                encoder.response(response, &mut out).unwrap();
                encoder.finish(&mut out);
                assert_eq!(checker::read(&out).response, whole);
                format!(
                    "{}\n--- as a stream\n{}",
                    serde_json::to_string_pretty(&whole).unwrap(),
                    compact(&out)
                )
            }
            Err(error) => {
                assert_eq!(encoder.response(response, &mut out).unwrap_err(), error);
                assert!(out.is_empty(), "nothing has been written");
                failure(&error)
            }
        }
    });
}

#[test]
fn streams_match_their_snapshots() {
    golden::streams::<Responses>(|out| {
        checker::read(out);
        compact(out)
    });
}
