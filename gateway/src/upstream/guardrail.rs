//! The guardrail that the configuration forces, or that a client sets, on operations that accept one in headers.
//!
//! Converse accepts it in its body, which the translation sets. `bedrock-mantle` and the Anthropic endpoint do not
//! document a guardrail, so their requests are rejected rather than sent without one.

use api::GatewayConfig;
use bedrock::apis::BedrockApi;
use dialects::translation::{ClientGuardrail, GuardrailRef, RequestError};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::operation::Operation;
use crate::http::error::{GatewayError, Result};

pub(crate) const IDENTIFIER: HeaderName =
    HeaderName::from_static("x-amzn-bedrock-guardrailidentifier");
pub(crate) const VERSION: HeaderName = HeaderName::from_static("x-amzn-bedrock-guardrailversion");

const TRACE: HeaderName = HeaderName::from_static("x-amzn-bedrock-trace");

/// The guardrail in the headers of a client, which are those of InvokeModel.
///
/// # Errors
/// 400 if only one of identifier and version is set, or a header is not text.
pub(crate) fn of_headers(headers: &HeaderMap) -> Result<Option<ClientGuardrail>> {
    let text = |name: HeaderName| match headers.get(&name) {
        None => Ok(None),
        Some(value) => match value.to_str() {
            Ok(text) => Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty())),
            Err(_) => Err(RequestError::invalid(name.as_str(), "is not visible ASCII")),
        },
    };
    let required = |name: HeaderName, other: &HeaderName| {
        let why = format!("is required with {other}");
        GatewayError::Request(RequestError::missing(name.as_str(), why))
    };
    match (text(IDENTIFIER)?, text(VERSION)?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(required(VERSION, &IDENTIFIER)),
        (None, Some(_)) => Err(required(IDENTIFIER, &VERSION)),
        (Some(identifier), Some(version)) => Ok(Some(ClientGuardrail {
            guardrail: GuardrailRef {
                identifier,
                version,
            },
            trace: text(TRACE)?.map(|trace| trace.to_ascii_lowercase()),
        })),
    }
}

/// Rejects the guardrail of a client on an endpoint that does not apply guardrails.
///
/// # Errors
/// 400 if the client sets a guardrail.
pub(crate) fn reject(headers: &HeaderMap) -> Result<()> {
    if of_headers(headers)?.is_none() {
        return Ok(());
    }
    Err(GatewayError::Request(RequestError::unsupported(
        IDENTIFIER.as_str(),
        "guardrails are not supported on this endpoint; remove the header, and check the text with \
         ApplyGuardrail",
    )))
}

/// Sets the headers of the guardrail: the forced one, or else the client's.
///
/// # Errors
/// 400 if the operation does not accept a guardrail.
pub(crate) fn apply(
    config: &GatewayConfig,
    client: Option<&ClientGuardrail>,
    operation: Operation,
    headers: &mut HeaderMap,
) -> Result<()> {
    let Some(client) = client else {
        return force(config, operation, headers);
    };
    if let Operation::Passthrough { api, .. } = operation
        && api != BedrockApi::OpenAi
        && config.guardrail.is_none()
    {
        return Err(GatewayError::Request(RequestError::unsupported(
            IDENTIFIER.as_str(),
            "guardrails are not supported by Bedrock's API for this model; use a target with another \
             `api`, such as Converse",
        )));
    }
    headers.insert(IDENTIFIER, header(&client.guardrail.identifier)?);
    headers.insert(VERSION, header(&client.guardrail.version)?);
    if let Some(trace) = &client.trace {
        headers.insert(TRACE, header(&trace.to_ascii_uppercase())?);
    }
    force(config, operation, headers)
}

fn header(text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|_| {
        GatewayError::Request(RequestError::invalid(
            "guardrailConfig",
            "the guardrail is not a header value",
        ))
    })
}

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
    headers.insert(IDENTIFIER, header(&guardrail.identifier)?);
    headers.insert(VERSION, header(&guardrail.version)?);
    Ok(())
}
