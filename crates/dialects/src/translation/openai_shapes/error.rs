//! OpenAI's error body: `{"error":{"message","type","param","code"}}`.

use bytes::BytesMut;
use serde::Serialize;
use serde_json::{Map, Value};

/// `type` of an error that the client can fix.
const INVALID_REQUEST: &str = "invalid_request_error";

/// An error for a body or a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorBody {
    /// HTTP status; in a stream it is a member of the event, because the headers are already sent.
    pub status: u16,
    /// OpenAI's `type`; if empty, the type for the status.
    pub kind: String,
    /// A stable code.
    pub code: Option<String>,
    /// Path of the invalid field.
    pub param: Option<String>,
    /// The message for humans.
    pub message: String,
    /// Further members of the error object, such as `request_id` and `hint`.
    pub extra: Map<String, Value>,
}

#[derive(Serialize)]
struct Envelope<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(flatten)]
    extra: &'a Map<String, Value>,
}

/// Writes an error body. An empty `kind` becomes OpenAI's type for `status`; `extra` adds members such as
/// `request_id` and `hint` to the error object.
pub fn error_body(
    status: u16,
    kind: &str,
    code: Option<&str>,
    param: Option<&str>,
    message: &str,
    extra: &Map<String, Value>,
) -> Vec<u8> {
    let kind = if kind.is_empty() {
        kind_of(status)
    } else {
        kind
    };
    let envelope = Envelope {
        error: Inner {
            message,
            kind,
            param,
            code,
            extra,
        },
    };
    // Strings and maps always serialize.
    serde_json::to_vec(&envelope).unwrap_or_default()
}

impl ErrorBody {
    /// The error as a body.
    pub fn to_vec(&self) -> Vec<u8> {
        error_body(
            self.status,
            &self.kind,
            self.code.as_deref(),
            self.param.as_deref(),
            &self.message,
            &self.extra,
        )
    }

    /// Writes the error as a stream event, with its status.
    pub(crate) fn write_event(&self, out: &mut BytesMut) {
        let mut extra = Map::new();
        extra.insert("status".to_owned(), Value::from(self.status));
        extra.extend(self.extra.clone());
        let body = Self {
            extra,
            ..self.clone()
        };
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(&body.to_vec());
        out.extend_from_slice(b"\n\n");
    }
}

/// OpenAI's `type` for a status.
fn kind_of(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        429 => "rate_limit_error",
        // The model failed, not the request.
        424 => "server_error",
        400..=499 => INVALID_REQUEST,
        503 => "service_unavailable_error",
        _ => "server_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_has_openais_members_and_the_extra_ones() {
        let mut extra = Map::new();
        extra.insert("request_id".to_owned(), "r-1".into());
        let body = error_body(429, "", Some("throttled"), None, "slow \"down\"", &extra);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            r#"{"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,"code":"throttled","request_id":"r-1"}}"#
        );
    }
}
