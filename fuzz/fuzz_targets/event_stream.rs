//! Frames of an event stream: any chunking of the bytes gives the same frames and the same result. Half of the inputs
//! are well-formed frames around arbitrary headers and payloads; some of them have one byte changed.
#![no_main]

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bedrock::{ServiceError, converse::StreamEvent, eventstream::Decoder};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const MAX: usize = 1 << 16;

fn run(chunks: &[&[u8]]) -> (Vec<(String, Bytes)>, String) {
    let mut decoder = Decoder::new(MAX);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk));
        loop {
            match decoder.next_frame() {
                Ok(Some(frame)) => {
                    // The gateway's handling of a frame never panics.
                    let _ = StreamEvent::from_frame_parts(&frame.event_type, &frame.payload);
                    let _ = ServiceError::from_frame(&frame);
                    frames.push((frame.event_type, frame.payload));
                }
                Ok(None) => break,
                Err(error) => return (frames, error.to_string()),
            }
        }
    }
    let rest = if decoder.is_empty() { "" } else { "rest" };
    (frames, rest.to_owned())
}

/// Frames whose headers and payloads are parts of the input.
fn framed(data: &[u8]) -> Vec<u8> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut bytes = Vec::new();
    for piece in data.split(|byte| *byte == 0xff).take(4) {
        let (kind, payload) = piece.split_at(piece.len().min(12));
        let kinds = ["event", "exception", "error"];
        let kind_of = kinds[kind.first().map_or(0, |byte| usize::from(*byte)) % kinds.len()];
        let message = Message::new(Bytes::copy_from_slice(payload))
            .add_header(Header::new(
                ":message-type",
                HeaderValue::String(kind_of.into()),
            ))
            .add_header(Header::new(
                ":event-type",
                HeaderValue::String(text(kind).into()),
            ))
            .add_header(Header::new(
                ":exception-type",
                HeaderValue::String(text(kind).into()),
            ));
        if write_message_to(&message, &mut bytes).is_err() {
            break;
        }
    }
    bytes
}

fuzz_target!(|data: &[u8]| {
    let Some((mode, data)) = data.split_first() else {
        return;
    };
    let (_, rest) = fuzz::chunks(data);
    let owned = if mode % 2 == 0 {
        rest.to_vec()
    } else {
        framed(rest)
    };
    let mut bytes = owned;
    if mode % 4 == 3 && !bytes.is_empty() {
        let at = usize::from(*mode) % bytes.len();
        bytes[at] ^= 0x10;
    }
    let length = data.first().map_or(1, |byte| usize::from(*byte).max(1));
    let cut: Vec<&[u8]> = bytes.chunks(length).collect();
    assert_eq!(run(&[&bytes]), run(&cut));
});
