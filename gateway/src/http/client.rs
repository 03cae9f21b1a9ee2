//! The HTTP client with its connection pool.
//!
//! To Bedrock it uses HTTP/1.1 with one request per connection: HTTP/2 would multiplex up to a thousand streams on one connection.
//! hyper's pool does not open a second one at AWS's limit of concurrent streams, and a lost connection would end all
//! streams. TCP keepalive detects dead peers while a reasoning model is silent. Connections go through the proxy of the
//! environment, if any.

use std::{sync::Arc, time::Duration};

use credentials::Proxies;
use http::Uri;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        self,
        connect::{Connect, HttpConnector, dns::GaiResolver},
    },
    rt::{TokioExecutor, TokioTimer},
};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use tower::Service;

use super::{payload::Payload, proxied::Proxied};
use crate::measure;

pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Below the 60 seconds after which AWS's load balancers close idle connections, so that stale ones are rare.
const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 3;

/// A client for requests with a complete body, with the DNS resolver `R`.
pub(crate) type Pool<R> = legacy::Client<HttpsConnector<Proxied<R>>, Payload>;

/// The client with the system's DNS resolver.
pub(crate) type Client = Pool<GaiResolver>;

/// A client for Bedrock.
pub(crate) fn connect(tls: ClientConfig, proxies: &Proxies) -> Client {
    pool(tcp(), tls, proxies)
}

/// A client that uses HTTP/2 only, also without TLS, as gRPC requires.
pub(crate) fn connect_http2(mut tls: ClientConfig, proxies: &Proxies) -> Client {
    let mut tcp = tcp();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    legacy::Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_only(true)
        .build(HttpsConnector::from((Proxied::new(tcp, proxies), tls)))
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.set_keepalive(Some(KEEPALIVE_AFTER));
    tcp.set_keepalive_interval(Some(KEEPALIVE_INTERVAL));
    tcp.set_keepalive_retries(Some(KEEPALIVE_RETRIES));
    tcp
}

/// A client with the connections of `tcp`.
pub(crate) fn pool<R>(mut tcp: HttpConnector<R>, tls: ClientConfig, proxies: &Proxies) -> Pool<R>
where
    HttpsConnector<Proxied<R>>: Connect + Clone,
    Proxied<R>: Service<Uri>,
{
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Proxied::new(tcp, proxies));
    legacy::Client::builder(measure::Executor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build(connector)
}

/// TLS with ring and the certificate authorities of this machine. Without authorities it logs a warning, and only
/// `http://` endpoints are reachable.
///
/// # Errors
/// When the TLS library supports none of its own protocol versions.
pub(crate) fn tls() -> Result<ClientConfig, rustls::Error> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?;
    Ok(match builder.clone().with_native_roots() {
        Ok(builder) => builder.with_no_client_auth(),
        Err(error) => {
            tracing::warn!(%error, "no certificate authorities found; https endpoints are unreachable (set SSL_CERT_FILE)");
            builder
                .with_root_certificates(RootCertStore::empty())
                .with_no_client_auth()
        }
    })
}
