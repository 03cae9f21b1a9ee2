use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue};
use proptest::prelude::*;

use super::*;

const CAP: usize = 1024 * 1024;

fn message(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let headers = headers
        .iter()
        .map(|(name, value)| {
            Header::new(
                (*name).to_owned(),
                HeaderValue::String((*value).to_owned().into()),
            )
        })
        .collect();
    let mut bytes = Vec::new();
    write_message_to(
        &Message::new_from_parts(headers, Bytes::copy_from_slice(payload)),
        &mut bytes,
    )
    .unwrap();
    bytes
}

fn event(name: &str, payload: &[u8]) -> Vec<u8> {
    message(
        &[
            (":event-type", name),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        payload,
    )
}

fn decode_all(chunks: impl IntoIterator<Item = Bytes>) -> Result<Vec<Frame>, FrameError> {
    let mut decoder = Decoder::new(CAP);
    let mut frames = Vec::new();
    for chunk in chunks {
        decoder.push(chunk);
        while let Some(frame) = decoder.next_frame()? {
            frames.push(frame);
        }
    }
    decoder.finish()?;
    Ok(frames)
}

#[test]
fn each_kind_of_message_is_named_by_its_own_header() {
    let mut bytes = event("contentBlockDelta", b"{}");
    bytes.extend(message(
        &[
            (":exception-type", "throttlingException"),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        br#"{"message":"slow down"}"#,
    ));
    bytes.extend(message(
        &[
            (":error-code", "InternalError"),
            (":error-message", "broken"),
            (":message-type", "error"),
        ],
        b"",
    ));
    let frames = decode_all([Bytes::from(bytes)]).unwrap();
    let seen: Vec<_> = frames
        .iter()
        .map(|frame| {
            (
                frame.message_type,
                frame.event_type.as_str(),
                std::str::from_utf8(&frame.payload).unwrap(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            (MessageType::Event, "contentBlockDelta", "{}"),
            (
                MessageType::Exception,
                "throttlingException",
                r#"{"message":"slow down"}"#
            ),
            (MessageType::Error, "InternalError", "broken"),
        ]
    );
}

#[test]
fn every_split_point_gives_the_same_frame() {
    let bytes = Bytes::from(event("messageStop", br#"{"stopReason":"end_turn"}"#));
    let whole = decode_all([bytes.clone()]).unwrap();
    assert_eq!(whole.len(), 1);
    for at in 0..bytes.len() {
        let halves = [bytes.slice(..at), bytes.slice(at..)];
        assert_eq!(decode_all(halves).unwrap(), whole, "split at {at}");
    }
}

#[test]
fn stream_that_ends_inside_a_frame_is_an_error_at_every_length() {
    let bytes = Bytes::from(event("messageStop", b"{}"));
    for length in 1..bytes.len() {
        let result = decode_all([bytes.slice(..length)]);
        assert!(
            matches!(result, Err(FrameError::Truncated { bytes }) if bytes == length),
            "{length}: {result:?}"
        );
    }
    assert!(decode_all([]).unwrap().is_empty());
}

#[test]
fn frame_above_the_limit_is_rejected_before_its_body_arrives() {
    let bytes = Bytes::from(event("contentBlockDelta", &[b'x'; 400]));
    let mut decoder = Decoder::new(bytes.len() - 1);
    decoder.push(bytes.slice(..PRELUDE_BYTES));
    assert!(matches!(decoder.next_frame(), Err(FrameError::Size { .. })));
    assert!(matches!(decoder.next_frame(), Err(FrameError::Broken)));
    let mut decoder = Decoder::new(bytes.len());
    decoder.push(bytes);
    assert!(decoder.next_frame().unwrap().is_some());
}

#[test]
fn invalid_length_is_rejected_without_waiting_for_more_bytes() {
    let mut bytes = event("contentBlockDelta", b"{}");
    bytes[2] ^= 0x10;
    let mut decoder = Decoder::new(CAP);
    decoder.push(Bytes::from(bytes).slice(..PRELUDE_BYTES));
    assert!(matches!(
        decoder.next_frame(),
        Err(FrameError::PreludeChecksum { .. })
    ));
}

#[test]
fn any_flipped_bit_is_detected() {
    let bytes = event("contentBlockDelta", br#"{"delta":{"text":"hello"}}"#);
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut broken = bytes.clone();
            broken[at] ^= 1 << bit;
            assert!(decode_all([Bytes::from(broken)]).is_err(), "{at}.{bit}");
        }
    }
}

#[test]
fn published_frames_are_accepted_or_rejected_as_named() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/eventstream");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let result = decode_all([Bytes::from(std::fs::read(&path).unwrap())]);
        // The valid frames are well-formed but lack the headers of an event.
        if name.starts_with("valid_") {
            let missing = matches!(result, Err(FrameError::MissingHeader { .. }));
            assert!(missing, "{name}: {result:?}");
        } else {
            let refused = matches!(
                result,
                Err(FrameError::Malformed(_) | FrameError::PreludeChecksum { .. })
            );
            assert!(refused, "{name}: {result:?}");
        }
        seen += 1;
    }
    assert_eq!(seen, 11);
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same_frames(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..24),
    ) {
        let bytes: Vec<u8> =
            payloads.iter().flat_map(|payload| event("contentBlockDelta", payload)).collect();
        let bytes = Bytes::from(bytes);
        let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len().saturating_add(1))).collect();
        places.push(bytes.len());
        places.sort_unstable();
        let mut from = 0;
        let chunks: Vec<Bytes> = places
            .into_iter()
            .map(|to| bytes.slice(std::mem::replace(&mut from, to)..to))
            .collect();
        let frames = decode_all(chunks).unwrap();
        let got: Vec<&[u8]> = frames.iter().map(|frame| frame.payload.as_ref()).collect();
        let sent: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        prop_assert_eq!(got, sent);
    }

    #[test]
    fn hostile_bytes_never_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let _ = decode_all(chunks.into_iter().map(Bytes::from));
    }

    /// Random bytes rarely have valid checksums; these do, so they reach the header parser.
    #[test]
    fn hostile_headers_with_valid_checksums_never_panic(
        body in prop::collection::vec(any::<u8>(), 0..200),
        header_length in 0_u32..260,
    ) {
        let total = u32::try_from(body.len().saturating_add(SMALLEST_FRAME_BYTES)).unwrap();
        let mut bytes = total.to_be_bytes().to_vec();
        bytes.extend(header_length.to_be_bytes());
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        bytes.extend(body);
        bytes.extend(crc32fast::hash(&bytes).to_be_bytes());
        let _ = decode_all([Bytes::from(bytes)]);
    }
}
