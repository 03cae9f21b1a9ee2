//! Golden files: one input, one snapshot beside it, in `testdata/responses/`, as for Chat Completions.
//!
//! Every stream is also read by the strict checker, and what it ends with is compared with the whole
//! response.

use std::{fs, path::Path};

use bedrock::converse::{ConverseResponse, StreamEvent};
use bytes::BytesMut;
use serde_json::{Value, json};

use super::{Decoded, ReplyContext, StreamEncoder, checker, decode, encode_response};
use crate::openai::{
    ErrorBody, RequestError, ResponseIdentity,
    golden::{check, inputs, with_options},
};

fn shown(result: Result<Decoded<'_>, RequestError>) -> String {
    let decoded = match result {
        Err(error) => {
            return format!("400 {} {:?}\n{}", error.code, error.param, error.message);
        }
        Ok(decoded) => decoded,
    };
    let mut lines = Vec::new();
    for warning in &decoded.warnings {
        lines.push(format!("warning: {warning}"));
    }
    for fetch in &decoded.fetches {
        lines.push(format!("{fetch:?}"));
    }
    if decoded.stream {
        lines.push(format!(
            "stream, upstream_stream={}",
            decoded.upstream_stream
        ));
    }
    let tree = serde_json::to_value(&decoded.request).unwrap();
    lines.push(serde_json::to_string_pretty(&tree).unwrap());
    lines.join("\n")
}

fn read(path: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(path).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// `SEALED(text|signature)` and `SEALED_REDACTED(data)` stand for what the gateway gave out.
fn sealed(request: &mut Value) {
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
        Value::Array(items) => items.iter_mut().for_each(sealed),
        Value::Object(members) => members.values_mut().for_each(sealed),
        _ => {}
    }
}

#[test]
fn requests_become_what_their_snapshots_say() {
    for path in inputs("responses/requests", "json") {
        let mut request = read(&path);
        sealed(&mut request);
        let snapshot = with_options(request, |body, options| shown(decode(body, options)));
        check(&path, &snapshot);
    }
}

pub(super) fn identity() -> ResponseIdentity {
    ResponseIdentity {
        id: "resp_1".to_owned(),
        created: 1_750_000_000,
        model: "fast".to_owned(),
    }
}

/// The way back that belongs to a request, or that of a plain one.
pub(super) fn reply(request: Option<Value>) -> ReplyContext {
    let plain = json!({"model": "anthropic.claude-sonnet-4-6", "input": "hi"});
    with_options(request.unwrap_or(plain), |body, options| {
        decode(body, options).unwrap().reply
    })
}

#[test]
fn responses_become_what_their_snapshots_say() {
    for path in inputs("responses/responses", "json") {
        let mut case = read(&path);
        let case = case.as_object_mut().unwrap();
        let reply = reply(case.shift_remove("request"));
        let body = serde_json::to_string(&case["response"]).unwrap();
        let response: ConverseResponse = serde_json::from_str(&body).unwrap();
        let mut out = BytesMut::new();
        let mut encoder = StreamEncoder::new(reply.clone(), &identity());
        let snapshot = match encode_response(&response, reply, &identity()) {
            Ok(answer) => {
                let whole: Value = serde_json::from_slice(&answer.body).unwrap();
                encoder.response(&response, &mut out).unwrap();
                encoder.finish(&mut out);
                let read = checker::read(&out);
                assert_eq!(read.response, whole, "{}", path.display());
                format!(
                    "{}\n--- as a stream\n{}",
                    serde_json::to_string_pretty(&whole).unwrap(),
                    compact(&out)
                )
            }
            Err(error) => {
                assert_eq!(encoder.response(&response, &mut out).unwrap_err(), error);
                assert!(out.is_empty(), "nothing has been written");
                format!("{} {}: {}", error.status, error.code, error.message)
            }
        };
        check(&path, &snapshot);
    }
}

/// A stream with responses at its ends cut down to what changes.
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

/// Runs the events of a file; gives what was written after each.
pub(super) fn run(path: &Path) -> Vec<u8> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let request = lines
        .first()
        .and_then(|first| first.get("request"))
        .cloned();
    if request.is_some() {
        lines.remove(0);
    }
    let mut encoder = StreamEncoder::new(reply(request), &identity());
    let mut out = BytesMut::new();
    for line in lines {
        let (kind, payload) = line.as_object().unwrap().iter().next().unwrap();
        if kind == "exception" {
            let error = ErrorBody {
                status: 429,
                code: Some("ThrottlingException".to_owned()),
                message: payload.as_str().unwrap().to_owned(),
                ..ErrorBody::default()
            };
            encoder.error(&error, &mut out);
            continue;
        }
        let payload = payload.to_string();
        let event = StreamEvent::from_frame_parts(kind, payload.as_bytes()).unwrap();
        if let Err(error) = encoder.event(&event, &mut out) {
            let error = ErrorBody {
                status: 502,
                message: error.to_string(),
                ..ErrorBody::default()
            };
            encoder.error(&error, &mut out);
        }
    }
    encoder.finish(&mut out);
    out.to_vec()
}

#[test]
fn streams_become_what_their_snapshots_say() {
    for path in inputs("responses/streams", "jsonl") {
        let out = run(&path);
        checker::read(&out);
        check(&path, &compact(&out));
    }
}
