//! The request id, on every request, response and log line.

use http::{HeaderMap, HeaderName, HeaderValue, Response};

/// Header of requests and responses.
const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id accepted from a client, in bytes.
const MAX_BYTES: usize = 128;

/// The client's request id, or a generated one.
pub(crate) fn of(headers: &HeaderMap) -> String {
    headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|text| is_safe(text))
        .map_or_else(generate, ToOwned::to_owned)
}

/// Sets the request id on a response.
pub(crate) fn set<B>(response: &mut Response<B>, id: HeaderValue) {
    response.headers_mut().insert(HEADER, id);
}

/// Whether a text is safe in logs and headers.
fn is_safe(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/=+".contains(&byte))
}

fn generate() -> String {
    random("req_")
}

/// A random id: 32 hexadecimal digits after a prefix. Not by formatting, which takes four times as long.
pub(crate) fn random(prefix: &str) -> String {
    let mut digits = [b'0'; 32];
    // Two digits for each of the 16 bytes.
    let _ = hex::encode_to_slice(fastrand::u128(..).to_be_bytes(), &mut digits);
    [prefix, str::from_utf8(&digits).unwrap_or_default()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_only_safe_request_ids_of_clients() {
        assert!(is_safe("3f2a-bc.D_1"));
        for text in ["", "a b", "a\nb", "<script>", &"x".repeat(129)] {
            assert!(!is_safe(text), "{text:?}");
        }
        assert!(is_safe(&generate()));
        assert_ne!(generate(), generate());
    }
}
