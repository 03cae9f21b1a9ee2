//! Writes AWS event-stream frames. The code under test has the reader, so this module has none.
//!
//! A frame consists of the total length (u32), the length of the headers (u32), the CRC-32 of these eight bytes,
//! headers, payload, and the CRC-32 of all preceding bytes. See
//! <https://smithy.io/2.0/aws/amazon-eventstream.html>.

use crc32fast::hash;

/// Encodes one frame from string headers and a payload.
pub fn frame(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    for (name, value) in headers {
        encoded.push(u8::try_from(name.len()).unwrap_or(u8::MAX));
        encoded.extend_from_slice(name.as_bytes());
        encoded.push(7); // string
        encoded.extend_from_slice(&u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        encoded.extend_from_slice(value.as_bytes());
    }
    let total = 12 + encoded.len() + payload.len() + 4;
    let mut bytes = Vec::with_capacity(total);
    bytes.extend_from_slice(&u32::try_from(total).unwrap_or(u32::MAX).to_be_bytes());
    bytes.extend_from_slice(
        &u32::try_from(encoded.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    bytes.extend_from_slice(&hash(&bytes).to_be_bytes());
    bytes.extend_from_slice(&encoded);
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&hash(&bytes).to_be_bytes());
    bytes
}

/// An event with a JSON payload.
pub fn event(event_type: &str, payload: &[u8]) -> Vec<u8> {
    frame(
        &[
            (":event-type", event_type),
            (":content-type", "application/json"),
            (":message-type", "event"),
        ],
        payload,
    )
}

/// A modeled exception; the type is written in camelCase.
pub fn exception(exception_type: &str, message: &str) -> Vec<u8> {
    let payload = serde_json::json!({ "message": message }).to_string();
    frame(
        &[
            (":exception-type", &camel_case(exception_type)),
            (":content-type", "application/json"),
            (":message-type", "exception"),
        ],
        payload.as_bytes(),
    )
}

fn camel_case(name: &str) -> String {
    let mut chars = name.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}

/// The padding field `p` that AWS adds to events: a prefix of a fixed alphabet with a varying length. Here the
/// length depends on the event's number, so that responses are reproducible.
pub fn padding(number: usize) -> &'static str {
    const ALPHABET: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    ALPHABET
        .get(..number.wrapping_mul(7) % (ALPHABET.len() + 1))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_equal_the_published_vectors() {
        // aws/aws-c-event-stream, smithy's `empty_message` and `payload_no_headers`.
        assert_eq!(
            frame(&[], b""),
            [
                0, 0, 0, 16, 0, 0, 0, 0, 0x05, 0xc2, 0x48, 0xeb, 0x7d, 0x98, 0xc8, 0xff
            ]
        );
        let bytes = frame(&[], b"{'foo':'bar'}");
        assert_eq!(bytes.len(), 0x1d);
        assert_eq!(
            bytes[..12],
            [0, 0, 0, 0x1d, 0, 0, 0, 0, 0xfd, 0x52, 0x8c, 0x5a]
        );
        assert_eq!(bytes[25..], [0xc3, 0x65, 0x39, 0x36]);
        // The same suite's `payload_one_str_header`.
        let bytes = frame(&[("content-type", "application/json")], b"{'foo':'bar'}");
        assert_eq!(
            bytes[..12],
            [0, 0, 0, 0x3d, 0, 0, 0, 0x20, 0x07, 0xfd, 0x83, 0x96]
        );
        assert_eq!(bytes[57..], [0x8d, 0x9c, 0x08, 0xb1]);
    }

    #[test]
    fn writes_exception_types_in_camel_case() {
        let bytes = exception("ThrottlingException", "slow down");
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.contains("throttlingException") && text.contains(r#"{"message":"slow down"}"#)
        );
        assert!(text.find(":exception-type") < text.find(":content-type"));
        assert!(text.find(":content-type") < text.find(":message-type"));
    }
}
