//! Small pieces of JSON, written straight into the output buffer.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// A JSON string literal of `{}`.
pub(super) const EMPTY_OBJECT: &str = "\"{}\"";

/// Text as a JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Any value as JSON.
pub(super) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut BytesMut) {
    // Strings and plain structs always serialize, and a BytesMut always has room.
    let _: Result<(), serde_json::Error> = serde_json::to_writer(out.writer(), value);
}

/// The beginning of a tool call's delta, up to its index.
pub(super) fn write_call_index(index: u32, out: &mut BytesMut) {
    out.extend_from_slice(b"\"tool_calls\":[{\"index\":");
    write_json(&index, out);
    out.extend_from_slice(b",");
}
