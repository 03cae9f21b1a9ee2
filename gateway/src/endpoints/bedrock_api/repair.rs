//! Repairs strings that no JSON parser of AWS accepts, as on the other endpoints. Other bodies keep their bytes.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use dialects::translation::surrogates;
use serde_json::Value;

use crate::{
    http::error::Result,
    pipeline::{active_config::ActiveConfig, exchange::repair},
    upstream::operation::Operation,
};

/// The body of a request, and whether it was repaired.
///
/// # Errors
/// 400 in strict mode, if it would be repaired.
pub(super) fn repaired(
    body: Bytes,
    operation: Operation,
    active: &ActiveConfig,
) -> Result<(Bytes, bool)> {
    // A body of another format than JSON stays as it is.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Ok((body, false));
    }
    let repaired = surrogates::repaired(&body).or_else(|| match operation {
        Operation::CountTokens => inside(&body),
        _ => None,
    });
    repair(body, repaired, active)
}

/// Repairs the body of InvokeModel that CountTokens contains.
fn inside(body: &[u8]) -> Option<Vec<u8>> {
    let mut request: Value = serde_json::from_slice(body).ok()?;
    let counted = request.pointer_mut("/input/invokeModel/body")?;
    let repaired = surrogates::repaired(&STANDARD.decode(counted.as_str()?).ok()?)?;
    *counted = STANDARD.encode(repaired).into();
    Some(request.to_string().into_bytes())
}
