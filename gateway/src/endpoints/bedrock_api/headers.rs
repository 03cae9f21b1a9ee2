//! Headers that are forwarded between client and Bedrock: those of Bedrock's API only. Pure.
//!
//! Credentials, cookies and trace headers of the client are never forwarded.

use http::{HeaderMap, HeaderName, header};

use crate::http::response::AWS_REQUEST_ID;

/// Trace, guardrail, latency, tier, metadata and media types of requests; token counts of responses.
const PREFIX: &str = "x-amzn-bedrock-";

/// Headers of a request for Bedrock.
pub(super) fn for_bedrock(headers: &HeaderMap) -> HeaderMap {
    select(headers, |name| {
        [header::CONTENT_TYPE, header::ACCEPT].contains(name)
    })
}

/// Headers of a response for the client.
pub(super) fn for_client(headers: &HeaderMap) -> HeaderMap {
    select(headers, |name| {
        [header::CONTENT_TYPE, header::RETRY_AFTER].contains(name)
            || *name == AWS_REQUEST_ID
            || ["x-amzn-errortype", "x-amzn-errormessage"].contains(&name.as_str())
    })
}

fn select(headers: &HeaderMap, also: impl Fn(&HeaderName) -> bool) -> HeaderMap {
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
    fn forwards_headers_of_bedrock_and_no_credentials() {
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
