//! Base64 as clients send it, and as Bedrock takes it: the standard alphabet with padding.

use std::borrow::Cow;

use ::base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// Takes what is not quite standard: no padding, stray bits at the end.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The same bytes in standard base64; `None` when it is no base64. What is standard already is
/// neither decoded nor copied.
pub(crate) fn standard(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if is_standard(&text) {
        return Some(text);
    }
    let clean: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace())
        .map(|c| match c {
            '-' => '+',
            '_' => '/',
            other => other,
        })
        .collect();
    let bytes = LENIENT.decode(clean).ok()?;
    Some(Cow::Owned(STANDARD.encode(bytes)))
}

fn is_standard(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some(start) = bytes.len().checked_sub(4) else {
        return bytes.is_empty();
    };
    let (body, end) = bytes.split_at(start);
    // No branch for a byte, so that many are looked at at once: a picture has a million.
    let is_body = |chunk: &[u8]| chunk.iter().fold(true, |all, byte| all & is_digit(*byte));
    bytes.len().is_multiple_of(4) && body.chunks(4096).all(is_body) && STANDARD.decode(end).is_ok()
}

/// Whether a byte stands for six bits. `/` is the neighbour of `0`.
#[expect(clippy::needless_bitwise_bool, reason = "a branch less for each byte")]
fn is_digit(byte: u8) -> bool {
    let from = |first: u8, count: u8| byte.wrapping_sub(first) < count;
    from(b'A', 26) | from(b'a', 26) | from(b'/', 11) | (byte == b'+')
}

/// Length of the bytes behind standard base64.
pub(crate) fn decoded_len(text: &str) -> u64 {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    let length = (text.len() / 4 * 3).saturating_sub(padding);
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The first twelve bytes behind standard base64, zeros where there are fewer.
pub(crate) fn first_bytes(text: &str) -> [u8; 12] {
    let mut first = [0; 12];
    let head = text.get(..text.len().min(16)).unwrap_or_default();
    let decoded = STANDARD.decode(head).unwrap_or_default();
    for (slot, byte) in first.iter_mut().zip(decoded) {
        *slot = byte;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_standard_alphabet() {
        for byte in 0..=u8::MAX {
            let digit = byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
            assert_eq!(is_digit(byte), digit, "{byte}");
        }
    }

    #[test]
    fn one_wrong_byte_anywhere_is_found() {
        let right = "QUJD".repeat(3000);
        assert!(matches!(
            standard(right.as_str().into()),
            Some(Cow::Borrowed(_))
        ));
        for place in [0, 4095, 4096, 8191, right.len() - 5] {
            let mut wrong = right.clone().into_bytes();
            wrong[place] = b'!';
            assert_eq!(
                standard(String::from_utf8(wrong).unwrap().into()),
                None,
                "{place}"
            );
        }
    }
}
