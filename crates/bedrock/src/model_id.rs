//! Model identifiers in the path of a request.
//!
//! A model id is a bare id, the id of an inference profile, or an ARN that contains `/` and `:`. This module does not
//! parse it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986, section 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The id as one path segment, such as `arn%3Aaws%3Abedrock%3A…`.
///
/// `SigV4` encodes the path a second time for signing, as AWS does for every service except S3; see
/// [`crate::sigv4::sign`]. The dots of `.` and `..` are encoded too, because proxies would resolve these
/// segments.
pub fn encode_path_segment(id: &str) -> String {
    if id == "." || id == ".." {
        return id.replace('.', "%2E");
    }
    utf8_percent_encode(id, SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_unreserved_characters_is_encoded() {
        for (id, expected) in [
            (
                "anthropic.claude-3-haiku-20240307-v1:0",
                "anthropic.claude-3-haiku-20240307-v1%3A0",
            ),
            (
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/a1b2",
                "arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fa1b2",
            ),
            ("a_b~c.d-e", "a_b~c.d-e"),
            ("a%2Fb?c#d", "a%252Fb%3Fc%23d"),
            ("é", "%C3%A9"),
            ("..", "%2E%2E"),
        ] {
            assert_eq!(encode_path_segment(id), expected);
        }
    }
}
