//! Reads events whose headers are all strings of ASCII, which is every event that Bedrock sends.
//!
//! `aws-smithy-eventstream` computes the checksum field by field and allocates each header; that took a twelfth of the
//! CPU time of a stream. It reads all other messages, and tests compare both.

use bytes::Bytes;

use super::{Frame, MessageType, PRELUDE_BYTES, crc32, first_u32};

/// Size of the final checksum.
const CHECKSUM_BYTES: usize = 4;
/// The type of a header whose value is a string.
const STRING: u8 = 7;

/// The event in a complete message; none if it is another message, or invalid.
pub(super) fn event(message: &Bytes) -> Option<Frame> {
    let end = message.len().checked_sub(CHECKSUM_BYTES)?;
    let (content, checksum) = message.split_at_checked(end)?;
    if first_u32(checksum) != crc32(content)
        || first_u32(content.get(8..)?) != crc32(content.get(..8)?)
    {
        return None;
    }
    if usize::try_from(first_u32(content)).ok()? != message.len() {
        return None;
    }
    let length = usize::try_from(first_u32(content.get(4..)?)).ok()?;
    let start = PRELUDE_BYTES.checked_add(length)?;
    let mut headers = content.get(PRELUDE_BYTES..start)?;
    // Checked at once, because a check of each name and value takes longer than everything else.
    if !headers.is_ascii() {
        return None;
    }
    let (mut message_type, mut event_type) = (None, None);
    while !headers.is_empty() {
        let (name, value);
        (name, headers) = header_name(headers)?;
        (value, headers) = string(headers)?;
        match name {
            b":message-type" => message_type = message_type.or(Some(value)),
            b":event-type" => event_type = event_type.or(Some(value)),
            _ => {}
        }
    }
    (message_type? == b"event").then_some(Frame {
        message_type: MessageType::Event,
        event_type: std::str::from_utf8(event_type?).ok()?.to_owned(),
        payload: message.slice(start..end),
    })
}

/// The name of a header, and what follows it.
fn header_name(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    (!name.is_empty()).then_some((name, rest))
}

/// The value of a header, and what follows it.
fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (value, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
    (*kind == STRING).then_some((value, rest))
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::{read_message_from, write_message_to};
    use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
    use bytes::BytesMut;
    use proptest::prelude::*;

    use super::*;

    fn message(headers: &[(String, u8, String)], payload: Vec<u8>) -> Vec<u8> {
        let mut message = Message::new(payload);
        for (name, kind, text) in headers {
            let value = match kind {
                0 => HeaderValue::Bool(true),
                1 => HeaderValue::Int32(7),
                2 => HeaderValue::ByteArray(text.clone().into()),
                _ => HeaderValue::String(text.clone().into()),
            };
            message = message.add_header(Header::new(name.clone(), value));
        }
        let mut bytes = BytesMut::new();
        write_message_to(&message, &mut bytes).unwrap();
        bytes.to_vec()
    }

    fn headers() -> impl Strategy<Value = Vec<(String, u8, String)>> {
        let name = prop_oneof![
            Just(":message-type".to_owned()),
            Just(":event-type".to_owned()),
            "[a-z:-]{1,20}"
        ];
        let text = prop_oneof![Just("event".to_owned()), "\\PC{0,30}"];
        prop::collection::vec((name, 0..12_u8, text), 0..6)
    }

    proptest! {
        #[test]
        fn reads_what_the_library_reads(
            headers in headers(),
            payload: Vec<u8>,
            change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
        ) {
            let mut bytes = message(&headers, payload);
            if let Some((at, byte)) = change {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let bytes = Bytes::from(bytes);
            if let Some(frame) = event(&bytes) {
                let expected = read_message_from(&mut bytes.clone()).unwrap();
                prop_assert_eq!(frame, Frame::try_from(&expected).unwrap());
            }
        }
    }

    #[test]
    fn events_of_bedrock_are_read_here() {
        let headers = [
            (":event-type", "contentBlockDelta"),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ];
        let headers = headers.map(|(name, value)| (name.to_owned(), 7, value.to_owned()));
        let bytes = Bytes::from(message(&headers, b"{}".to_vec()));
        assert_eq!(event(&bytes).unwrap().event_type, "contentBlockDelta");
        assert!(event(&bytes.slice(1..)).is_none());
        assert!(event(&bytes.slice(..bytes.len() - 1)).is_none());
    }
}
