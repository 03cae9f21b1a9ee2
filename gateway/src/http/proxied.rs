//! Connections through the proxy of the environment, with a tunnel (`CONNECT`) for `https` and `http` alike.
//!
//! The credentials in the URL of the proxy are sent to the proxy only, and appear in no error.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use credentials::Proxies;
use http::{Uri, uri};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, dns::GaiResolver, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::Service;

use crate::measure::{self, Io, Step};

/// The steps of reading and writing.
const STEPS: (Step, Step) = (Step::ReceiveReply, Step::SendCall);

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A connector with the DNS resolver `R` for direct connections.
#[derive(Clone, Debug)]
pub(crate) struct Proxied<R> {
    tcp: HttpConnector<R>,
    /// Resolves the proxy.
    proxy: HttpConnector<GaiResolver>,
    matcher: Option<Arc<Matcher>>,
}

impl<R> Proxied<R> {
    pub(crate) fn new(tcp: HttpConnector<R>, proxies: &Proxies) -> Self {
        let matcher = (!proxies.is_empty()).then(|| {
            let matcher = Matcher::builder()
                .https(proxies.https())
                .http(proxies.http())
                .no(proxies.direct());
            Arc::new(matcher.build())
        });
        let mut proxy = HttpConnector::new();
        proxy.enforce_http(false);
        proxy.set_nodelay(true);
        proxy.set_connect_timeout(Some(super::client::CONNECT_TIMEOUT));
        Self {
            tcp,
            proxy,
            matcher,
        }
    }
}

impl<R> Service<Uri> for Proxied<R>
where
    HttpConnector<R>: Service<Uri, Response = TokioIo<TcpStream>>,
    <HttpConnector<R> as Service<Uri>>::Error: Into<BoxError>,
    <HttpConnector<R> as Service<Uri>>::Future: Send + 'static,
{
    type Response = Io<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.tcp.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Uri) -> Self::Future {
        let intercept = self.matcher.as_ref();
        let Some(intercept) = intercept.and_then(|matcher| matcher.intercept(&destination)) else {
            let connecting = self.tcp.call(destination);
            return Box::pin(async move {
                let connection = connecting.await.map_err(Into::into)?;
                Ok(measure::io(STEPS, connection))
            });
        };
        let proxy = intercept.uri().clone();
        if proxy.scheme_str() != Some("http") {
            let error = "HTTPS_PROXY, HTTP_PROXY and ALL_PROXY support http:// proxies only";
            return Box::pin(std::future::ready(Err(error.into())));
        }
        let mut tunnel = Tunnel::new(proxy, self.proxy.clone());
        if let Some(credentials) = intercept.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        let connecting = with_port(destination).map(|destination| tunnel.call(destination));
        Box::pin(async move { Ok(measure::io(STEPS, connecting?.await?)) })
    }
}

/// The destination with its port, which the tunnel needs.
fn with_port(destination: Uri) -> Result<Uri, BoxError> {
    if destination.port().is_some() || destination.scheme_str() != Some("http") {
        return Ok(destination);
    }
    let host = destination.host().unwrap_or_default();
    let authority = format!("{host}:80");
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTP);
    parts.authority = Some(authority.parse()?);
    parts.path_and_query = Some(uri::PathAndQuery::from_static("/"));
    Ok(Uri::from_parts(parts)?)
}
