//! HTTP clients of this crate: one for the SDK's clients, and a minimal GET client for credentials endpoints.
//!
//! rustls with ring; no redirects, no retries: the refresher retries. STS and the services of profiles are reached through
//! the proxy of the environment, credentials endpoints never.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorSettings, SharedHttpClient},
    orchestrator::HttpRequest,
};
use aws_smithy_types::byte_stream::ByteStream;
use zeroize::Zeroizing;

use crate::{proxies::Proxies, unavailable::causes};

/// Largest response of a credentials endpoint in bytes; real responses have two or three kilobytes.
const MAX_RESPONSE_BYTES: usize = 256 * 1024;
/// Timeout for connecting to a credentials endpoint.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Timeout for the first byte of the response.
pub(crate) const READ_TIMEOUT: Duration = Duration::from_secs(8);

/// A client with a connection pool.
#[derive(Debug)]
pub(crate) struct Http(Connector);

/// A response; the body may contain keys.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) date: Option<String>,
}

/// The reason why no complete response was received.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct RequestError(String);

/// The HTTP client of the SDK's clients: one for the process and its proxies, because each parses the CA certificates of
/// the system.
pub(crate) fn sdk_client(proxies: &Proxies) -> SharedHttpClient {
    static CLIENTS: Mutex<BTreeMap<Proxies, SharedHttpClient>> = Mutex::new(BTreeMap::new());
    let mut clients = CLIENTS.lock().unwrap_or_else(PoisonError::into_inner);
    let client = clients.entry(proxies.clone()).or_insert_with(|| {
        let proxy = proxy(proxies);
        Builder::new().build_with_connector_fn(move |settings, _| {
            let mut connector = Connector::builder().proxy_config(proxy.clone());
            connector.set_connector_settings(settings.cloned());
            connector
                .tls_provider(Provider::Rustls(CryptoMode::Ring))
                .build()
        })
    });
    client.clone()
}

/// The proxy for AWS's services; the one for `http://` is used only if there is no other, such as for a test endpoint.
fn proxy(proxies: &Proxies) -> ProxyConfig {
    let made = match (proxies.https(), proxies.http()) {
        ("", "") => return ProxyConfig::disabled(),
        ("", http) => ProxyConfig::http(http),
        (https, http) if https == http => ProxyConfig::all(https),
        (https, _) => ProxyConfig::https(https),
    };
    made.map_or_else(
        // The error may quote the URL, which may contain credentials.
        |_error| {
            tracing::warn!(
                "the URL in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY is invalid; connecting to AWS directly"
            );
            ProxyConfig::disabled()
        },
        |proxy| proxy.no_proxy(proxies.direct()),
    )
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

    /// Sends a GET request to `uri`. Header values are sent unchanged and never logged.
    pub(crate) async fn get(
        &self,
        uri: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Response, RequestError> {
        let mut request = HttpRequest::get(uri).map_err(|error| RequestError(error.to_string()))?;
        for (name, value) in headers {
            request
                .headers_mut()
                .try_insert(*name, (*value).to_owned())
                .map_err(|_| {
                    RequestError(format!(
                    "the value of header {name} contains characters that HTTP headers do not allow"
                    ))
                })?;
        }
        let response = self
            .0
            .call(request)
            .await
            .map_err(|error| RequestError(causes(&error)))?;
        let status = response.status().as_u16();
        let date = response.headers().get("date").map(str::to_owned);
        let mut stream = ByteStream::new(response.into_body());
        let mut body = Zeroizing::new(Vec::new());
        while let Some(chunk) = stream.next().await {
            let chunk = chunk
                .map_err(|error| RequestError(format!("the response ended early: {error}")))?;
            if body.len().saturating_add(chunk.len()) > MAX_RESPONSE_BYTES {
                return Err(RequestError(format!(
                    "the response is larger than {MAX_RESPONSE_BYTES} bytes"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, body, date })
    }
}
