//! Writes JSON values to the output buffer.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// Text as a JSON string literal.
pub(crate) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Any value as JSON.
pub(crate) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut BytesMut) {
    // Strings and plain structs always serialize, and a BytesMut grows as needed.
    let _: Result<(), serde_json::Error> = serde_json::to_writer(out.writer(), value);
}
