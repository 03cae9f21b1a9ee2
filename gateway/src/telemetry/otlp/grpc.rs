//! A unary call of gRPC as one HTTP/2 request and response: <https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>.
//!
//! Messages are not compressed. A status of gRPC becomes the HTTP status that an exporter of OTLP over HTTP handles in the
//! same way: <https://opentelemetry.io/docs/specs/otlp/#failures>.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version, header, uri::PathAndQuery,
};
use http_body_util::Collected;
use opentelemetry_http::HttpError;

/// The content type with the encoding of messages.
const CONTENT_TYPE: &str = "application/grpc+proto";
/// Bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;
const STATUS: &str = "grpc-status";
const OK: u16 = 0;

/// The status of a failed call, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed(u16);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // https://grpc.io/docs/guides/status-codes/
        let name = match self.0 {
            1 => "CANCELLED",
            3 => "INVALID_ARGUMENT",
            4 => "DEADLINE_EXCEEDED",
            5 => "NOT_FOUND",
            7 => "PERMISSION_DENIED",
            8 => "RESOURCE_EXHAUSTED",
            12 => "UNIMPLEMENTED",
            13 => "INTERNAL",
            14 => "UNAVAILABLE",
            16 => "UNAUTHENTICATED",
            _ => "UNKNOWN",
        };
        write!(f, "gRPC status {} ({name})", self.0)
    }
}

/// The call of a method with the body of a request of OTLP over HTTP.
///
/// # Errors
/// When the message is too large, or its URL has no host.
pub(super) fn request(
    request: Request<Bytes>,
    method: &'static str,
) -> Result<Request<Bytes>, HttpError> {
    let (mut parts, message) = request.into_parts();
    let mut uri = parts.uri.into_parts();
    uri.path_and_query = Some(PathAndQuery::from_static(method));
    parts.uri = Uri::from_parts(uri)?;
    parts.version = Version::HTTP_2;
    for (name, value) in [
        (header::CONTENT_TYPE, CONTENT_TYPE),
        (header::TE, "trailers"),
    ] {
        parts.headers.insert(name, HeaderValue::from_static(value));
    }
    let mut body = BytesMut::with_capacity(message.len().saturating_add(PREFIX));
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len())?);
    body.put(message);
    Ok(Request::from_parts(parts, body.freeze()))
}

/// The response to a call as that of OTLP over HTTP.
pub(super) fn response(parts: http::response::Parts, body: Collected<Bytes>) -> Response<Bytes> {
    if !parts.status.is_success() {
        return Response::from_parts(parts, Bytes::new());
    }
    // A call that fails at once has its status in the headers.
    let status = body.trailers().and_then(status_of);
    let status = status.or_else(|| status_of(&parts.headers));
    let status = status.unwrap_or(u16::MAX);
    if status == OK {
        let mut message = body.to_bytes();
        message.advance(PREFIX.min(message.len()));
        return Response::new(message);
    }
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = http_status(status);
    response.extensions_mut().insert(Failed(status));
    response
}

fn status_of(headers: &HeaderMap) -> Option<u16> {
    headers.get(STATUS)?.to_str().ok()?.parse().ok()
}

/// The HTTP status for a status of gRPC: 429 and 503 if a retry can succeed.
fn http_status(status: u16) -> StatusCode {
    match status {
        1 | 4 | 10 | 11 | 14 | 15 => StatusCode::SERVICE_UNAVAILABLE,
        8 => StatusCode::TOO_MANY_REQUESTS,
        7 => StatusCode::FORBIDDEN,
        12 => StatusCode::NOT_FOUND,
        16 => StatusCode::UNAUTHORIZED,
        _ => StatusCode::BAD_REQUEST,
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Full};

    use super::*;

    #[test]
    fn a_call_has_the_path_of_its_method_and_a_frame_around_its_message() {
        let sent = Request::post("http://collector:4317/v1/traces")
            .header("content-type", "application/x-protobuf")
            .header("authorization", "key")
            .body(Bytes::from_static(b"abc"))
            .unwrap();
        let call = request(sent, "/a.Service/Export").unwrap();
        assert_eq!(call.uri(), "http://collector:4317/a.Service/Export");
        assert_eq!(call.version(), Version::HTTP_2);
        assert_eq!(call.headers()["content-type"], "application/grpc+proto");
        assert_eq!(call.headers()["te"], "trailers");
        assert_eq!(call.headers()["authorization"], "key");
        assert_eq!(call.body().as_ref(), b"\0\0\0\0\x03abc");
    }

    async fn respond(status: &str, is_in_trailers: bool, body: &'static [u8]) -> Response<Bytes> {
        let status = HeaderMap::from_iter([(
            STATUS.parse().unwrap(),
            HeaderValue::from_str(status).unwrap(),
        )]);
        let (mut parts, ()) = Response::new(()).into_parts();
        let body = Full::new(Bytes::from_static(body));
        if is_in_trailers {
            let trailers = async move { Some(Ok(status)) };
            let body = body.with_trailers(trailers).collect().await.unwrap();
            return response(parts, body);
        }
        parts.headers = status;
        response(parts, body.collect().await.unwrap())
    }

    #[tokio::test]
    async fn a_successful_call_has_its_message() {
        let response = respond("0", true, b"\0\0\0\0\x02ok").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body().as_ref(), b"ok");
    }

    #[tokio::test]
    async fn a_failed_call_has_the_status_with_the_same_consequence() {
        for (status, expected, log) in [
            ("14", 503, "gRPC status 14 (UNAVAILABLE)"),
            ("8", 429, "gRPC status 8 (RESOURCE_EXHAUSTED)"),
            ("16", 401, "gRPC status 16 (UNAUTHENTICATED)"),
            ("12", 404, "gRPC status 12 (UNIMPLEMENTED)"),
            ("3", 400, "gRPC status 3 (INVALID_ARGUMENT)"),
            ("what", 400, "gRPC status 65535 (UNKNOWN)"),
        ] {
            for is_in_trailers in [false, true] {
                let response = respond(status, is_in_trailers, b"").await;
                assert_eq!(response.status(), expected, "{status}");
                let failed = response.extensions().get::<Failed>().unwrap();
                assert_eq!(failed.to_string(), log);
            }
        }
    }
}
