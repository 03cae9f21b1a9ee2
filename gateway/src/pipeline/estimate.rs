//! Estimates the input tokens of a request, for clients that leave before Bedrock reports them. Pure.

/// Bytes of text for each token: a rule of thumb for English.
const BYTES_PER_TOKEN: usize = 4;
/// A longer run of base64 characters is an image or a document, whose tokens its size does not tell.
const LONGEST_WORD: usize = 1024;
/// Every longer run contains one whole block of this size.
const BLOCK_BYTES: usize = LONGEST_WORD / 2;
/// Bytes of a block that are compared at once.
const PART_BYTES: usize = 32;

/// The estimated input tokens of a JSON body.
pub(super) fn tokens(body: &[u8]) -> u64 {
    let mut media: usize = 0;
    let mut searched: usize = 0;
    while let Some(block) = body.get(searched..searched.saturating_add(BLOCK_BYTES)) {
        let next = searched.saturating_add(BLOCK_BYTES);
        // Text has other characters soon. Within a part there is no early end, so that the compiler uses vectors.
        let mut parts = block.chunks(PART_BYTES);
        if !parts.all(|part| part.iter().fold(true, |all, byte| all & is_base64(*byte))) {
            searched = next;
            continue;
        }
        let before = body.get(..searched).unwrap_or_default().iter().rev();
        let after = body.get(next..).unwrap_or_default().iter();
        let before = before.take_while(|byte| is_base64(**byte)).count();
        let after = after.take_while(|byte| is_base64(**byte)).count();
        let run = BLOCK_BYTES.saturating_add(before).saturating_add(after);
        if run > LONGEST_WORD {
            media = media.saturating_add(run);
        }
        searched = next.saturating_add(after);
    }
    let text = body.len().saturating_sub(media);
    u64::try_from(text / BYTES_PER_TOKEN).unwrap_or(u64::MAX)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() | matches!(byte, b'+' | b'/' | b'=')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_counts_and_images_do_not() {
        assert_eq!(tokens(&b"some words, ".repeat(1000)), 3000);
        let image = "A".repeat(100_000);
        assert!(tokens(format!("{{\"data\":\"{image}\"}}").as_bytes()) < 10);
        assert_eq!(tokens(b""), 0);
    }

    proptest! {
        #[test]
        fn runs_of_any_length_and_place_are_found(lengths in prop::collection::vec(0..2100_usize, 0..12)) {
            let body = lengths.iter().map(|length| "x".repeat(*length)).collect::<Vec<_>>().join(" ");
            let media: usize = lengths.iter().filter(|length| **length > LONGEST_WORD).sum();
            prop_assert_eq!(tokens(body.as_bytes()), u64::try_from((body.len() - media) / 4).unwrap());
        }
    }
}
