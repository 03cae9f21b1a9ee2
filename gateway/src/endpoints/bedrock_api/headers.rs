//! Which headers pass between client and Bedrock: those of Bedrock's API, and nothing else. Pure.
//!
//! A client's proof of itself, its cookies and its traces stay here; so do AWS's that say nothing to a client.

use http::{HeaderMap, HeaderName, header};

/// Trace, guardrail, latency, tier, metadata and media types of requests, token counts of answers.
const PREFIX: &str = "x-amzn-bedrock-";

/// What of a request goes to Bedrock.
pub(super) fn for_bedrock(headers: &HeaderMap) -> HeaderMap {
    picked(headers, |name| {
        [header::CONTENT_TYPE, header::ACCEPT].contains(name)
    })
}

/// What of an answer goes to the client.
pub(super) fn for_client(headers: &HeaderMap) -> HeaderMap {
    picked(headers, |name| {
        [header::CONTENT_TYPE, header::RETRY_AFTER].contains(name)
            || [
                "x-amzn-requestid",
                "x-amzn-errortype",
                "x-amzn-errormessage",
            ]
            .contains(&name.as_str())
    })
}

fn picked(headers: &HeaderMap, also: impl Fn(&HeaderName) -> bool) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with(PREFIX) || also(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn proofs_of_a_client_stay_here_and_bedrocks_own_headers_pass() {
        let names = |headers: HeaderMap| {
            let mut names: Vec<String> = headers.keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        let all: HeaderMap = [
            "authorization",
            "x-api-key",
            "x-amz-security-token",
            "x-amz-date",
            "x-amz-content-sha256",
            "cookie",
            "connection",
            "te",
            "amz-sdk-request",
            "content-type",
            "accept",
            "x-amzn-bedrock-trace",
            "x-amzn-bedrock-request-metadata",
            "x-amzn-requestid",
        ]
        .iter()
        .map(|name| (HeaderName::from_static(name), HeaderValue::from_static("x")))
        .collect();
        assert_eq!(
            names(for_bedrock(&all)),
            [
                "accept",
                "content-type",
                "x-amzn-bedrock-request-metadata",
                "x-amzn-bedrock-trace"
            ]
        );
        assert_eq!(
            names(for_client(&all)),
            [
                "content-type",
                "x-amzn-bedrock-request-metadata",
                "x-amzn-bedrock-trace",
                "x-amzn-requestid"
            ]
        );
    }
}
