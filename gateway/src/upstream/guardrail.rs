//! The guardrail that the configuration forces, on operations that take one in headers.
//!
//! Converse takes it in its body, which is the translation's business. `bedrock-mantle` and the Anthropic
//! endpoint are not documented to take one: what they would serve is refused, not served without.

use api::GatewayConfig;
use bedrock::apis::BedrockApi;
use dialects::translation::RequestError;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::operation::Operation;
use crate::http::error::GatewayError;

pub(crate) const IDENTIFIER: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-guardrailidentifier");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailversion");

/// Sets the headers of the forced guardrail, if there is one, whatever they were.
///
/// # Errors
/// 400 where the operation cannot have a guardrail.
pub(crate) fn force(
    config: &GatewayConfig,
    operation: Operation,
    headers: &mut HeaderMap,
) -> Result<(), GatewayError> {
    let Some(guardrail) = &config.guardrail else {
        return Ok(());
    };
    if let Operation::Passthrough { api, .. } = operation
        && api != BedrockApi::OpenAi
    {
        return Err(GatewayError::Request(RequestError::unsupported(
            "model",
            "this gateway forces a guardrail, which Bedrock's API for this model does not take; \
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
