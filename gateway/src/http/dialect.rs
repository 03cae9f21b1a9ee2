//! The API dialect of a request: OpenAI's, Anthropic's or Bedrock's own.

use http::{HeaderMap, HeaderName};

/// Header of Anthropic's clients with the version of their API.
pub(crate) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_PATH: &str = "/v1/messages";
const BEDROCK_PATHS: [&str; 2] = ["/model/", "/guardrail/"];

/// An API dialect, which decides the format of errors, headers and stream keep-alives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The default.
    OpenAi,
    Anthropic,
    Bedrock,
}

impl Dialect {
    /// The dialect of a request. Its path decides; on paths that OpenAI and Anthropic share, its headers.
    pub(crate) fn new(path: &str, headers: &HeaderMap) -> Self {
        if BEDROCK_PATHS.iter().any(|start| path.starts_with(start)) {
            Self::Bedrock
        } else if path.starts_with(ANTHROPIC_PATH) || headers.contains_key(ANTHROPIC_VERSION) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// The keep-alive of a silent stream: clients ignore it, and proxies keep the connection open.
    pub(crate) fn ping(self) -> &'static [u8] {
        match self {
            Self::Anthropic => b"event: ping\ndata: {\"type\": \"ping\"}\n\n",
            Self::OpenAi | Self::Bedrock => b": ping\n\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn path_decides_and_headers_decide_on_shared_paths() {
        let none = HeaderMap::new();
        let mut anthropic = HeaderMap::new();
        anthropic.insert(ANTHROPIC_VERSION, HeaderValue::from_static("2023-06-01"));
        for (path, headers, expected) in [
            ("/v1/chat/completions", &none, Dialect::OpenAi),
            ("/v1/models", &none, Dialect::OpenAi),
            ("/v1/models", &anthropic, Dialect::Anthropic),
            ("/v1/messages/count_tokens", &none, Dialect::Anthropic),
            ("/model/m/converse", &anthropic, Dialect::Bedrock),
            ("/guardrail/g/version/1/apply", &none, Dialect::Bedrock),
        ] {
            assert_eq!(Dialect::new(path, headers), expected, "{path}");
        }
    }
}
