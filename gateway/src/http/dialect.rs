//! The API dialect of a request: OpenAI's, Anthropic's or Bedrock's own.

use http::{HeaderMap, HeaderName, header};

/// Header of Anthropic's clients with the version of their API.
pub(crate) const ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const ANTHROPIC_PATH: &str = "/v1/messages";
const BEDROCK_PATHS: [&str; 4] = [
    "/model/",
    "/guardrail/",
    "/foundation-models",
    "/inference-profiles",
];
/// Paths of Bedrock's other operations, which the gateway does not serve.
const AWS_PATHS: [&str; 9] = [
    "/async-invoke",
    "/guardrails",
    "/custom-models",
    "/imported-models",
    "/provisioned-model-throughput",
    "/model-invocation-job",
    "/knowledgebases",
    "/retrieveAndGenerate",
    "/agents",
];
/// Header of every request of AWS's SDKs.
const SDK_INVOCATION: HeaderName = HeaderName::from_static("amz-sdk-invocation-id");
/// Base URLs that clients of Bedrock's own endpoints use.
pub(crate) const OPENAI_BASE: &str = "/openai";
pub(crate) const ANTHROPIC_BASE: &str = "/anthropic";

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
        let path = [OPENAI_BASE, ANTHROPIC_BASE]
            .iter()
            .find_map(|base| {
                path.strip_prefix(base)
                    .filter(|rest| rest.starts_with("/v1/"))
            })
            .unwrap_or(path);
        if BEDROCK_PATHS.iter().any(|start| path.starts_with(start)) {
            Self::Bedrock
        } else if path.starts_with(ANTHROPIC_PATH) || headers.contains_key(ANTHROPIC_VERSION) {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }

    /// The dialect of a request with an unknown path: that of AWS if an AWS SDK sends it or the path is AWS's.
    pub(crate) fn of_unknown(path: &str, headers: &HeaderMap) -> Self {
        let is_signed = headers
            .get(header::AUTHORIZATION)
            .is_some_and(|value| value.as_bytes().starts_with(b"AWS4-HMAC-SHA256"));
        if is_signed
            || headers.contains_key(SDK_INVOCATION)
            || AWS_PATHS.iter().any(|start| path.starts_with(start))
        {
            Self::Bedrock
        } else {
            Self::new(path, headers)
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
            ("/inference-profiles", &none, Dialect::Bedrock),
            ("/anthropic/v1/messages", &none, Dialect::Anthropic),
            ("/openai/v1/chat/completions", &none, Dialect::OpenAi),
        ] {
            assert_eq!(Dialect::new(path, headers), expected, "{path}");
        }
    }
}
