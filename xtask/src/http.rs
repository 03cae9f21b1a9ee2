//! A minimal HTTP client: GET requests in plain text to a port of this machine.
//!
//! No library: a fresh clone compiles this program first, and there is no TLS, redirect or connection reuse here.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

const TIMEOUT: Duration = Duration::from_secs(2);
/// Longest time without a byte of a response that needs work, such as one for which the server asks others.
const LONG_TIMEOUT: Duration = Duration::from_secs(20);

/// Sends a GET request on a new connection and returns status and body of the response.
///
/// # Errors
/// When no server listens there, or its response is not HTTP.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<(u16, String)> {
    request(address, path, "", TIMEOUT)
}

/// The same with further lines of the header, each with its line end, for responses that need work.
///
/// # Errors
/// As [`get`].
pub(crate) fn get_with(address: SocketAddr, path: &str, header: &str) -> Result<(u16, String)> {
    request(address, path, header, LONG_TIMEOUT)
}

fn request(
    address: SocketAddr,
    path: &str,
    header: &str,
    timeout: Duration,
) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect_timeout(&address, TIMEOUT)
        .with_context(|| format!("failed to connect to {address}"))?;
    stream
        .set_read_timeout(Some(timeout))
        .context("failed to set a timeout")?;
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{header}\r\n");
    stream
        .write_all(request.as_bytes())
        .with_context(|| format!("failed to send a request to {address}"))?;
    let mut response = Vec::new();
    let mut part = [0; 8192];
    // Not until the connection ends: `kubectl port-forward` closes it late.
    while !is_complete(&response) {
        let read = stream
            .read(&mut part)
            .with_context(|| format!("failed to read the response of {address}"))?;
        if read == 0 {
            break;
        }
        response.extend(part.iter().take(read));
    }
    let response = String::from_utf8_lossy(&response);
    let status = response
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let body = response
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    match (status, body) {
        (Some(status), Some(body)) => Ok((status, body)),
        _ => bail!("the response of {address} is not HTTP"),
    }
}

/// Whether a response has all the bytes of its `Content-Length`.
fn is_complete(response: &[u8]) -> bool {
    let text = String::from_utf8_lossy(response);
    let Some((head, _)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_length = name.eq_ignore_ascii_case("content-length");
        is_length.then(|| value.trim().parse::<usize>().ok())?
    });
    let end = b"\r\n\r\n".len();
    let have = response.windows(end).position(|part| part == b"\r\n\r\n");
    match (length, have) {
        (Some(length), Some(start)) => response.len() >= start.saturating_add(end + length),
        _ => false,
    }
}

/// Waits for a 200 response of `path`.
///
/// # Errors
/// When the server is not ready within `timeout`, or the error of `alive`, which is called before each request.
pub(crate) fn wait_for(
    address: SocketAddr,
    path: &str,
    timeout: Duration,
    mut alive: impl FnMut() -> Result<()>,
) -> Result<()> {
    let deadline = Instant::now() + timeout;
    loop {
        alive()?;
        let seen = match get(address, path) {
            Ok((200, _)) => return Ok(()),
            Ok((status, body)) => format!("{status} {}", body.trim()),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() > deadline {
            bail!(
                "http://{address}{path} is not ready within {} s: {seen}",
                timeout.as_secs()
            );
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// A server that sends these responses, one per connection.
    fn serve(responses: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            for response in responses {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 512];
                let read = stream.read(&mut request).unwrap();
                assert!(request[..read].starts_with(b"GET /x HTTP/1.1\r\n"));
                stream.write_all(response.as_bytes()).unwrap();
            }
        });
        address
    }

    #[test]
    fn status_and_body_are_read() {
        let address = serve(&["HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"]);
        assert_eq!(get(address, "/x").unwrap(), (404, "no".to_owned()));
    }

    #[test]
    fn a_response_ends_with_its_length_although_the_connection_stays() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let response = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole";
            stream.write_all(response).unwrap();
            stream
        });
        let started = Instant::now();
        assert_eq!(get(address, "/x").unwrap(), (200, "whole".to_owned()));
        assert!(started.elapsed() < TIMEOUT);
        drop(server.join());
    }

    #[test]
    fn wait_ends_with_the_first_success() {
        let address = serve(&[
            "HTTP/1.1 503 Service Unavailable\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ]);
        wait_for(address, "/x", Duration::from_secs(10), || Ok(())).unwrap();
    }

    #[test]
    fn wait_ends_when_the_server_exits() {
        let address = serve(&[]);
        let error =
            wait_for(address, "/x", Duration::from_secs(10), || bail!("it ended")).unwrap_err();
        assert_eq!(error.to_string(), "it ended");
    }
}
