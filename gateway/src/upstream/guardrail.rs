//! The guardrail that the configuration forces, on operations that accept one in headers.
//!
//! Converse accepts it in its body, which the translation sets. `bedrock-mantle` and the Anthropic endpoint do not
//! document a guardrail, so their requests are rejected rather than sent without one.

use api::GatewayConfig;
use bedrock::apis::BedrockApi;
use dialects::translation::RequestError;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::operation::Operation;
use crate::http::error::{GatewayError, Result};

pub(crate) const IDENTIFIER: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-guardrailidentifier");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailversion");

/// Sets the headers of the forced guardrail, if any, and replaces existing ones.
///
/// # Errors
/// 400 if the operation does not accept a guardrail.
pub(crate) fn force(
    config: &GatewayConfig,
    operation: Operation,
    headers: &mut HeaderMap,
) -> Result<()> {
    let Some(guardrail) = &config.guardrail else {
        return Ok(());
    };
    if let Operation::Passthrough { api, .. } = operation
        && api != BedrockApi::OpenAi
    {
        return Err(GatewayError::Request(RequestError::unsupported(
            "model",
            "this gateway forces a guardrail, which Bedrock's API for this model does not support; \
             its administrator can set another `api` for the target, such as converse",
        )));
    }
    let value = |text: &str| {
        HeaderValue::try_from(text)
            .map_err(|_| GatewayError::Internal("the guardrail is not a header value"))
    };
    headers.insert(IDENTIFIER, value(&guardrail.identifier)?);
    headers.insert(VERSION, value(&guardrail.version)?);
    Ok(())
}
