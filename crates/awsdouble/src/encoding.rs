//! Encodings of the AWS protocols: hex, percent-encoding, XML text, random identifiers.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// SHA-256 in lower-case hex. By ring, whose assembly is as quick in a development build: each body is hashed twice.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

/// Percent-encodes all bytes except RFC 3986's unreserved characters and, if `keep_slash`, `/`.
pub(crate) fn percent_encode(bytes: &[u8], keep_slash: bool) -> String {
    bytes.iter().fold(String::new(), |mut text, &byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (keep_slash && byte == b'/') {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// Percent-decodes; bytes that are not UTF-8 are replaced.
pub(crate) fn percent_decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text)
        .decode_utf8_lossy()
        .into_owned()
}

/// The decoded pairs of a query string or form; `+` is a space.
pub(crate) fn form_pairs(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let decode = |text: &str| percent_decode(&text.replace('+', " "));
            (decode(name), decode(value))
        })
        .collect()
}

/// Escapes the text of an XML element.
pub(crate) fn xml_text(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// Random bytes from the operating system.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        tracing::error!("unable to get random bytes from the operating system");
    }
    bytes
}

/// A random UUID, the format of AWS's request ids.
pub(crate) fn request_id() -> String {
    let mut bytes: [u8; 16] = random();
    if let Some(byte) = bytes.get_mut(6) {
        *byte = (*byte & 0x0f) | 0x40;
    }
    if let Some(byte) = bytes.get_mut(8) {
        *byte = (*byte & 0x3f) | 0x80;
    }
    let text = hex(&bytes);
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    for length in [8, 4, 4, 4, 12] {
        let (part, tail) = rest.split_at_checked(length).unwrap_or((rest, ""));
        parts.push(part);
        rest = tail;
    }
    parts.join("-")
}

/// A prefix and random characters of IAM's alphabet, for access key ids and unique ids of principals.
pub(crate) fn iam_id(prefix: &str, length: usize) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bytes: [u8; 32] = random();
    let tail = bytes
        .iter()
        .filter_map(|byte| {
            ALPHABET
                .get(usize::from(byte % 32))
                .copied()
                .map(char::from)
        })
        .take(length.saturating_sub(prefix.len()));
    prefix.chars().chain(tail).collect()
}

/// Random bytes as base64, for secret keys and session tokens.
pub(crate) fn random_base64<const N: usize>() -> String {
    STANDARD.encode(random::<N>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_follow_their_specifications() {
        assert_eq!(
            sha256_hex(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            percent_encode("a b/ü:%~".as_bytes(), true),
            "a%20b/%C3%BC%3A%25~"
        );
        assert_eq!(percent_encode(b"a/b", false), "a%2Fb");
        assert_eq!(
            form_pairs("Action=A+b&x=%2B&empty="),
            [("Action", "A b"), ("x", "+"), ("empty", "")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(xml_text("<a & b>"), "&lt;a &amp; b&gt;");
    }

    #[test]
    fn random_identifiers_have_the_format_of_aws() {
        let id = iam_id("ASIA", 20);
        assert_eq!(id.len(), 20);
        assert!(id.starts_with("ASIA") && id != iam_id("ASIA", 20));
        let id = request_id();
        let lengths: Vec<usize> = id.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert!(id.chars().nth(14) == Some('4'));
    }
}
