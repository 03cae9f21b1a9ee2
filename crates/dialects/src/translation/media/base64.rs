//! Converts the base64 of clients to the form that Bedrock accepts: the standard alphabet with padding.

use std::borrow::Cow;

use ::base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};

/// Accepts missing padding and non-zero trailing bits.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The same bytes in standard base64; `None` if `text` is not base64. Standard base64 is neither decoded nor
/// copied.
pub(crate) fn standard(text: Cow<'_, str>) -> Option<Cow<'_, str>> {
    if base64_simd::STANDARD.check(text.as_bytes()).is_ok() {
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

/// Number of bytes that standard base64 encodes.
pub(crate) fn decoded_len(text: &str) -> u64 {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    let length = (text.len() / 4 * 3).saturating_sub(padding);
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// The first twelve bytes that standard base64 encodes, padded with zeros.
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
    fn only_the_standard_alphabet_is_kept_unchanged() {
        for character in (0..128_u8).map(char::from) {
            let text = format!("{character}AAAAAAA").repeat(100);
            let kept = matches!(standard(text.as_str().into()), Some(Cow::Borrowed(_)));
            let digit = character.is_ascii_alphanumeric() || matches!(character, '+' | '/');
            assert_eq!(kept, digit, "{character:?}");
        }
    }

    #[test]
    fn finds_an_invalid_byte_at_any_position() {
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
