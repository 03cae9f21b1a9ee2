//! Estimates the input tokens of a request, for clients that leave before Bedrock reports them. Pure.

/// Bytes of text for each token: a rule of thumb for English.
const BYTES_PER_TOKEN: u64 = 4;
/// A longer run of base64 characters is an image or a document, whose tokens its size does not tell.
const LONGEST_WORD: u64 = 1024;

/// The estimated input tokens of a JSON body.
pub(super) fn tokens(body: &[u8]) -> u64 {
    let mut text: u64 = 0;
    let mut run: u64 = 0;
    let mut end_run = |run: &mut u64| {
        if *run <= LONGEST_WORD {
            text = text.saturating_add(*run);
        }
        *run = 0;
    };
    let mut other: u64 = 0;
    for byte in body {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=') {
            run = run.saturating_add(1);
        } else {
            end_run(&mut run);
            other = other.saturating_add(1);
        }
    }
    end_run(&mut run);
    text.saturating_add(other).div_euclid(BYTES_PER_TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_counts_and_images_do_not() {
        assert_eq!(tokens(&b"some words, ".repeat(1000)), 3000);
        let image = "A".repeat(100_000);
        assert!(tokens(format!("{{\"data\":\"{image}\"}}").as_bytes()) < 10);
        assert_eq!(tokens(b""), 0);
    }
}
