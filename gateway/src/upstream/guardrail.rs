//! Guardrails of requests: the client's, and the one that the configuration forces.
//!
//! [`enforce`] is called for every request to Bedrock, whatever endpoint it comes from. Converse accepts a guardrail in its
//! body, InvokeModel and Bedrock's OpenAI endpoint in headers. `bedrock-mantle` and the Anthropic endpoint do not
//! document a guardrail, so their requests are rejected rather than sent without one.

mod evasion;

use api::config::Guardrail;
use bedrock::apis::{BedrockApi, Protocol};
use dialects::translation::{ClientGuardrail, GuardrailRef, RequestError};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{call::Prepared, operation::Operation, target::Target};
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

/// Sets the headers of the client's guardrail, unless one is forced.
///
/// # Errors
/// 400 if the operation does not accept a guardrail.
pub(crate) fn apply(
    forced: Option<&Guardrail>,
    client: Option<&ClientGuardrail>,
    operation: Operation,
    headers: &mut HeaderMap,
) -> Result<()> {
    let Some(client) = client else {
        return Ok(());
    };
    if let Some(trace) = &client.trace {
        headers.insert(TRACE, header(&trace.to_ascii_uppercase())?);
    }
    if forced.is_some() {
        return Ok(());
    }
    if let Operation::Passthrough { api, .. } = operation
        && api != BedrockApi::OpenAi
    {
        return Err(GatewayError::Request(RequestError::unsupported(
            IDENTIFIER.as_str(),
            "guardrails are not supported by Bedrock's API for this model; use a target with another \
             `api`, such as Converse",
        )));
    }
    headers.insert(IDENTIFIER, header(&client.guardrail.identifier)?);
    headers.insert(VERSION, header(&client.guardrail.version)?);
    Ok(())
}

fn header(text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|_| {
        GatewayError::Request(RequestError::invalid(
            "guardrailConfig",
            "the guardrail is not a header value",
        ))
    })
}

/// Puts the forced guardrail into a request for `target`.
///
/// # Errors
/// 400 if the request would evade the guardrail, or if its API accepts none.
pub(super) fn enforce<C>(
    forced: Option<&Guardrail>,
    target: &Target,
    prepared: &mut Prepared<C>,
) -> Result<()> {
    let Some(forced) = forced else {
        return Ok(());
    };
    let headers = &mut prepared.headers;
    match prepared.operation {
        Operation::Converse | Operation::ConverseStream => {
            let body = evasion::converse(headers, prepared.body.whole(), forced)?;
            prepared.body = body.into();
            headers.remove(IDENTIFIER);
            headers.remove(VERSION);
            return Ok(());
        }
        Operation::InvokeModel | Operation::InvokeModelWithResponseStream => {
            evasion::invoke(headers, prepared.body.whole(), forced)?;
            // Bedrock rejects guardrails for models that generate no content.
            let apis = &target.capabilities.apis;
            if apis.embeddings.is_some() || apis.rerank.is_some() {
                headers.remove(IDENTIFIER);
                headers.remove(VERSION);
                return Ok(());
            }
        }
        Operation::Passthrough {
            protocol: Protocol::CountMessageTokens,
            ..
        }
        | Operation::CountTokens
        | Operation::ApplyGuardrail => return Ok(()),
        Operation::Passthrough {
            api: BedrockApi::OpenAi,
            ..
        } => evasion::invoke(headers, prepared.body.whole(), forced)?,
        Operation::Passthrough { .. } => {
            return Err(GatewayError::Request(RequestError::unsupported(
                "model",
                "this gateway forces a guardrail, which Bedrock's API for this model does not support; \
                 its administrator can set another `api` for the target, such as converse",
            )));
        }
    }
    headers.insert(IDENTIFIER, configured(&forced.identifier)?);
    headers.insert(VERSION, configured(&forced.version)?);
    Ok(())
}

/// A header of the forced guardrail, which the check of the configuration accepted.
fn configured(text: &str) -> Result<HeaderValue> {
    HeaderValue::try_from(text).map_err(|_| {
        tracing::error!("guardrail of the configuration is not a header value");
        GatewayError::Internal("the guardrail of the configuration is not a header value")
    })
}
