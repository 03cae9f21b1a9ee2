//! Writes a reply as ConverseStream's frames, and applies the script's delays and faults to a stream.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures::stream::unfold;
use http::{HeaderValue, header};
use serde_json::{Map, Value, json};

use super::converse::usage_json;
use super::reply::Block;
use super::script::{Script, ScriptedFault};
use super::turn::{LATENCY_MILLISECONDS, Turn};
use crate::error::usual_message;
use crate::eventstream::{event, exception, padding};
use crate::record::{Call, StreamOutcome};
use crate::server::Shared;

/// Bytes to send, with the number of events that end in them.
#[derive(Debug)]
struct Piece {
    pause: Duration,
    bytes: Bytes,
    events: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    Cut,
    Stall,
}

/// Records the progress of a stream; dropping it records how the stream ended.
#[derive(Debug)]
struct Tracker {
    shared: Arc<Shared>,
    call: Call,
    outcome: StreamOutcome,
}

impl Drop for Tracker {
    fn drop(&mut self) {
        if self.outcome.ended == "open" {
            "cancelled".clone_into(&mut self.outcome.ended);
        }
        self.call.stream = Some(self.outcome.clone());
        self.shared.recorder.update(&self.call, true);
    }
}

pub(super) fn respond(
    shared: &Arc<Shared>,
    call: &mut Call,
    turn: &Turn,
    optional: (Option<&Value>, Option<&Value>),
) -> Response {
    let frames = events(turn, optional)
        .into_iter()
        .enumerate()
        .map(|(number, (kind, payload))| padded(number, kind, payload))
        .collect();
    play(shared, call, &turn.script, frames)
}

/// The frame of an event with AWS's padding in the payload.
pub(super) fn padded(number: usize, kind: &str, mut payload: Map<String, Value>) -> Vec<u8> {
    payload.insert("p".to_owned(), json!(padding(number + 1)));
    payload.sort_keys();
    event(kind, Value::Object(payload).to_string().as_bytes())
}

/// Sends event-stream frames with a script's delays and faults.
pub(super) fn play(
    shared: &Arc<Shared>,
    call: &mut Call,
    script: &Script,
    frames: Vec<Vec<u8>>,
) -> Response {
    let kind = "application/vnd.amazon.eventstream";
    play_as(shared, call, script, frames, kind, exception)
}

/// Sends server-sent events with a script's delays and faults; `failure` writes an exception from its type and message.
pub(super) fn play_sse(
    shared: &Arc<Shared>,
    call: &mut Call,
    script: &Script,
    events: Vec<Vec<u8>>,
    failure: fn(&str, &str) -> Vec<u8>,
) -> Response {
    play_as(shared, call, script, events, "text/event-stream", failure)
}

fn play_as(
    shared: &Arc<Shared>,
    call: &mut Call,
    script: &Script,
    frames: Vec<Vec<u8>>,
    content_type: &'static str,
    failure: fn(&str, &str) -> Vec<u8>,
) -> Response {
    let (pieces, end) = schedule(script, frames, failure);
    call.status = Some(200);
    let outcome = StreamOutcome {
        ended: "open".to_owned(),
        ..StreamOutcome::default()
    };
    call.stream = Some(outcome.clone());
    shared.recorder.update(call, false);
    let tracker = Tracker {
        shared: Arc::clone(shared),
        call: call.clone(),
        outcome,
    };
    let body = unfold(
        (tracker, pieces, end),
        |(mut tracker, mut pieces, end)| async move {
            let Some(piece) = pieces.pop_front() else {
                return match end {
                    End::Complete => {
                        "complete".clone_into(&mut tracker.outcome.ended);
                        None
                    }
                    End::Cut if tracker.outcome.ended == "open" => {
                        "cut".clone_into(&mut tracker.outcome.ended);
                        let broken = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
                        Some((Err(broken), (tracker, pieces, end)))
                    }
                    End::Cut => None,
                    End::Stall => {
                        "stalled".clone_into(&mut tracker.outcome.ended);
                        std::future::pending().await
                    }
                };
            };
            tokio::time::sleep(piece.pause).await;
            tracker.outcome.events += piece.events;
            tracker.outcome.bytes += piece.bytes.len();
            // The client may disconnect after the last bytes: mark the stream as complete before it does.
            if pieces.is_empty() && end == End::Complete {
                "complete".clone_into(&mut tracker.outcome.ended);
            }
            Some((Ok(piece.bytes), (tracker, pieces, end)))
        },
    );
    let mut response = Response::new(Body::from_stream(body));
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The name of an exception in PascalCase, as in HTTP errors.
pub(super) fn pascal_case(code: &str) -> String {
    let mut pascal = code.to_owned();
    if let Some(first) = pascal.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    pascal
}

/// Truncates the frames at the script's fault and splits them into the script's pieces.
fn schedule(
    script: &Script,
    mut frames: Vec<Vec<u8>>,
    failure: fn(&str, &str) -> Vec<u8>,
) -> (VecDeque<Piece>, End) {
    let mut end = End::Complete;
    match &script.fault {
        Some(ScriptedFault::Exception {
            after,
            code,
            message,
        }) => {
            frames.truncate(*after);
            let message = if message.is_empty() {
                usual_message(&pascal_case(code))
            } else {
                message.as_str()
            };
            frames.push(failure(code, message));
        }
        Some(ScriptedFault::Cut { after }) => {
            frames.truncate(*after);
            end = End::Cut;
        }
        Some(ScriptedFault::End { after }) => frames.truncate(*after),
        Some(ScriptedFault::Stall { after }) => {
            frames.truncate(*after);
            end = End::Stall;
        }
        _ => {}
    }
    let mut pieces = VecDeque::new();
    if script.coalesce {
        let events = frames.len();
        pieces.push_back(Piece {
            pause: script.first,
            bytes: frames.concat().into(),
            events,
        });
        return (pieces, end);
    }
    for (number, frame) in frames.into_iter().enumerate() {
        let pause = if number == 0 {
            script.first
        } else {
            script.slow
        };
        let size = script.split.unwrap_or(frame.len()).max(1);
        let last = frame.len().div_ceil(size).saturating_sub(1);
        for (index, chunk) in frame.chunks(size).enumerate() {
            // A short pause makes the client read the parts separately.
            let pause = match index {
                0 => pause,
                _ => Duration::from_micros(200),
            };
            pieces.push_back(Piece {
                pause,
                bytes: Bytes::copy_from_slice(chunk),
                events: usize::from(index == last),
            });
        }
    }
    (pieces, end)
}

pub(super) fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

/// The events of a reply, without padding. Optional: additional fields and the service tier.
pub(super) fn events(
    turn: &Turn,
    (additional, tier): (Option<&Value>, Option<&Value>),
) -> Vec<(&'static str, Map<String, Value>)> {
    let mut events = vec![("messageStart", object(json!({ "role": "assistant" })))];
    if turn.script.unknown_event {
        events.push(("somethingNew", object(json!({ "future": true }))));
    }
    for (index, block) in turn.reply.blocks.iter().enumerate() {
        let delta = |delta: Value| {
            (
                "contentBlockDelta",
                object(json!({ "contentBlockIndex": index, "delta": delta })),
            )
        };
        let cut = |text: &str| turn.script.pieces(text);
        match block {
            Block::Text(text) => {
                events.extend(
                    cut(text)
                        .iter()
                        .map(|piece| delta(json!({ "text": piece }))),
                );
            }
            Block::Reasoning { text, signature } => {
                events.extend(
                    cut(text)
                        .iter()
                        .map(|piece| delta(json!({ "reasoningContent": { "text": piece } }))),
                );
                if let Some(signature) = signature {
                    events.push(delta(
                        json!({ "reasoningContent": { "signature": signature } }),
                    ));
                }
            }
            Block::Redacted(data) => {
                events.push(delta(
                    json!({ "reasoningContent": { "redactedContent": data } }),
                ));
            }
            Block::ToolUse { id, name, input } => {
                // Only tool calls have a start event.
                events.push((
                    "contentBlockStart",
                    object(json!({ "contentBlockIndex": index,
                        "start": { "toolUse": { "name": name, "toolUseId": id } } })),
                ));
                if input != "{}" {
                    events.extend(
                        cut(input)
                            .iter()
                            .map(|piece| delta(json!({ "toolUse": { "input": piece } }))),
                    );
                }
            }
        }
        events.push((
            "contentBlockStop",
            object(json!({ "contentBlockIndex": index })),
        ));
    }
    let mut stop = object(json!({ "stopReason": turn.reply.stop_reason }));
    if let Some(additional) = additional {
        stop.insert(
            "additionalModelResponseFields".to_owned(),
            additional.clone(),
        );
    }
    let mut metadata = object(json!({ "metrics": { "latencyMs": LATENCY_MILLISECONDS },
        "usage": usage_json(&turn.usage) }));
    if let Some(trace) = turn.guardrail.as_ref().and_then(|one| one.trace.clone()) {
        metadata.insert("trace".to_owned(), trace);
    }
    if let Some(tier) = tier {
        metadata.insert("serviceTier".to_owned(), tier.clone());
    }
    let metadata = ("metadata", metadata);
    if turn.script.metadata_first {
        events.push(metadata);
        events.push(("messageStop", stop));
    } else {
        events.push(("messageStop", stop));
        events.push(metadata);
    }
    events
}
