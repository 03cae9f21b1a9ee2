//! Test harnesses that the chat dialects share: golden files and properties.

pub(crate) mod golden;
pub(crate) mod prefix;
pub(crate) mod properties;

use bedrock::converse::StreamEvent;
use bytes::BytesMut;
use serde_json::Value;

use crate::translation::StreamError;

/// A chat dialect under test.
pub(crate) trait Dialect {
    /// Its directory in `testdata`.
    const DIRECTORY: &'static str;
    type Reply: Clone;
    type Encoder;

    /// The reply context of a decoded request, or of a plain request for `None`.
    fn reply(request: Option<Value>) -> Self::Reply;

    fn encoder(reply: Self::Reply) -> Self::Encoder;

    fn event(
        encoder: &mut Self::Encoder,
        event: &StreamEvent<'_>,
        out: &mut BytesMut,
    ) -> Result<(), StreamError>;

    fn error(
        encoder: &mut Self::Encoder,
        status: u16,
        code: Option<&str>,
        message: &str,
        out: &mut BytesMut,
    );

    fn finish(encoder: &mut Self::Encoder, out: &mut BytesMut);
}

/// Sends one event; an invalid event ends the stream with an error.
pub(crate) fn send<D: Dialect>(
    encoder: &mut D::Encoder,
    kind: &str,
    payload: &Value,
    out: &mut BytesMut,
) {
    let payload = payload.to_string();
    let event = StreamEvent::from_frame_parts(kind, payload.as_bytes()).unwrap();
    if let Err(error) = D::event(encoder, &event, out) {
        D::error(encoder, 502, None, &error.to_string(), out);
    }
}
