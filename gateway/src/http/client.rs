//! The pool of connections to Bedrock.
//!
//! HTTP/1.1, one request a connection at a time: HTTP/2 would put a thousand streams on one connection,
//! where hyper's pool opens no second one when AWS's limit of concurrent streams is reached, and where
//! one lost connection ends them all. TCP keepalive finds dead peers during the long silences of a
//! thinking model.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connect, HttpConnector, dns::GaiResolver},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the minute after which AWS's load balancers drop idle connections, so that a stale one is rare.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// Sends requests with a body in one piece over connections made by a resolver of names.
pub(crate) type Pool<R> = legacy::Client<HttpsConnector<HttpConnector<R>>, Full<Bytes>>;

/// Sends requests to Bedrock.
pub(crate) type Client = Pool<GaiResolver>;

/// The pool for Bedrock.
pub(crate) fn connect(tls: ClientConfig) -> Client {
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(KEEPALIVE_AFTER));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    pool(tcp, tls)
}

/// A pool over the connections that `tcp` makes.
pub(crate) fn pool<R>(mut tcp: HttpConnector<R>, tls: ClientConfig) -> Pool<R>
where
    HttpsConnector<HttpConnector<R>>: Connect + Clone,
{
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
}

/// TLS by ring, with the certificate authorities of this machine. Where there are none it says so in
/// the log, and only `http://` endpoints can be reached.
///
/// # Errors
/// When the TLS library supports none of its own protocol versions.
pub(crate) fn tls() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(match builder.clone().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no certificate authorities on this machine (SSL_CERT_FILE names a file of them): https endpoints cannot be reached");
            builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        }
    })
}
