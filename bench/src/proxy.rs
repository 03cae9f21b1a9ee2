//! The reference: a reverse proxy that changes only the address of a request.
//!
//! It has the same parts as the gateway (hyper's server, hyper-util's pool, one worker per core, allocator), so the difference is the
//! cost of the gateway's own work.

use std::{convert::Infallible, net::SocketAddr};

use anyhow::{Context, Result};
use http::{Request, Response, StatusCode, Uri, uri::PathAndQuery};
use http_body_util::{Either, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::TcpListener;

type Upstream = Client<HttpConnector, Incoming>;
type Body = Either<Incoming, Full<bytes::Bytes>>;

/// Serves until the process exits.
pub(crate) async fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client: Upstream = Client::builder(TokioExecutor::new()).build(connector);
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("failed to listen on {listen}"))?;
    loop {
        let (stream, _) = listener.accept().await.context("failed to accept")?;
        stream
            .set_nodelay(true)
            .context("failed to set a socket option")?;
        let client = client.clone();
        let service = service_fn(move |request| {
            let client = client.clone();
            async move { Ok::<_, Infallible>(forward(&client, upstream, request).await) }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn forward(
    client: &Upstream,
    upstream: SocketAddr,
    mut request: Request<Incoming>,
) -> Response<Body> {
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", PathAndQuery::as_str);
    match format!("http://{upstream}{path}").parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return failed(&error),
    }
    match client.request(request).await {
        Ok(response) => response.map(Either::Left),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response<Body> {
    let body = Full::from(error.to_string());
    let mut response = Response::new(Either::Right(body));
    *response.status_mut() = StatusCode::BAD_GATEWAY;
    response
}
