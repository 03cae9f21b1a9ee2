//! Requests to the admin port of a gateway.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, StatusCode, header, request::Builder};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends a request on a connection of its own; the status and the body of the response.
///
/// # Errors
/// When there is no response.
pub(crate) async fn send(
    admin: SocketAddr,
    request: Builder,
    body: Bytes,
) -> Result<(StatusCode, Bytes)> {
    let stream = TcpStream::connect(admin)
        .await
        .with_context(|| format!("failed to connect to {admin}"))?;
    let (mut sender, connection) = handshake(TokioIo::new(stream))
        .await
        .context("failed the HTTP handshake")?;
    tokio::spawn(connection);
    let request = request
        .header(header::HOST, admin.to_string())
        .body(Full::new(body))
        .context("failed to make a request")?;
    let response = sender
        .send_request(request)
        .await
        .context("no response from the admin port")?;
    let status = response.status();
    let body = response.into_body().collect().await;
    let body = body.context("the response of the admin port was cut")?;
    Ok((status, body.to_bytes()))
}

/// Reads a page.
///
/// # Errors
/// When there is no response.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> Result<(StatusCode, Bytes)> {
    send(admin, Request::get(path), Bytes::new()).await
}
