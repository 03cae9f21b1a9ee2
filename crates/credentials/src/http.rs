//! HTTP of this crate: the client that the SDK parts share, and a small GET for credential endpoints.
//!
//! rustls with ring; no proxy, no redirects, no retries: trying again is the refresher's business.

use std::time::Duration;

use aws_smithy_http_client::{
    Builder, Connector,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings, SharedHttpClient},
    orchestrator::HttpRequest,
};
use aws_smithy_types::byte_stream::ByteStream;
use zeroize::Zeroizing;

use crate::unavailable::causes;

/// Largest answer of a credential endpoint in bytes; real ones have two or three kilobytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;
/// Time to connect to a credential endpoint.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time until the first byte of its answer.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(8);

/// A client that keeps its connections.
#[derive(Debug)]
pub(crate) struct Http(Connector);

/// An answer; the body may hold keys.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) date: Option<String>,
}

/// What went wrong before there was an answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoAnswer(String);

/// The client the SDK's STS and instance metadata clients use.
pub(crate) fn sdk_client() -> SharedHttpClient {
    Builder::new()
        .tls_provider(Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

impl Http {
    pub(crate) fn new() -> Self {
        let settings = HttpConnectorSettings::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build();
        Self(
            Connector::builder()
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .connector_settings(settings)
                .build(),
        )
    }

    /// GETs `uri`. Header values are sent as they are and never logged.
    pub(crate) async fn get(
        &self,
        uri: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Answer, NoAnswer> {
        let mut request = HttpRequest::get(uri).map_err(|error| NoAnswer(error.to_string()))?;
        for (name, value) in headers {
            request
                .headers_mut()
                .try_insert(*name, (*value).to_owned())
                .map_err(|_| {
                    NoAnswer(format!(
                        "the value for header {name} has characters no header may have"
                    ))
                })?;
        }
        let response = self
            .0
            .call(request)
            .await
            .map_err(|error| NoAnswer(causes(&error)))?;
        let status = response.status().as_u16();
        let date = response.headers().get("date").map(str::to_owned);
        let mut stream = ByteStream::new(response.into_body());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = stream.next().await {
            let chunk =
                chunk.map_err(|error| NoAnswer(format!("the answer broke off: {error}")))?;
            if body.len().saturating_add(chunk.len()) > MAX_ANSWER_BYTES {
                return Err(NoAnswer(format!(
                    "the answer is over {MAX_ANSWER_BYTES} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, date })
    }
}
