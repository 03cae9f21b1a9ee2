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
    bytes.len().is_multiple_of(4)
        && body
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
        && STANDARD.decode(end).is_ok()
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
