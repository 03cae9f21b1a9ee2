//! Translates a Messages request for a target and the API that serves it.

use bedrock::apis::{BedrockApi, Protocol};
use dialects::{
    anthropic::{
        Endpoint, Passthrough, ReplyContext, Restorer, decode, needs_converse, passthrough,
    },
    translation::{RequestError, guardrail_set_twice},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    http::{
        dialect::ANTHROPIC_VERSION,
        error::{GatewayError, Result},
    },
    pipeline::{
        converse,
        endpoint::{Encoding, Preparation, TargetRequest},
    },
    upstream::{call::Prepared, guardrail, operation::Operation, target::Target},
};

const BETA: HeaderName = HeaderName::from_static("anthropic-beta");
/// The supported version of the API.
const THIS_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
const SERVICE_TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");

/// The beta flags of a request.
pub(crate) fn betas(headers: &HeaderMap) -> Vec<&str> {
    let values = headers.get_all(BETA).iter();
    values.filter_map(|value| value.to_str().ok()).collect()
}

/// Headers for an Anthropic endpoint: the client's version and these beta flags.
pub(crate) fn endpoint_headers(client: &HeaderMap, betas: &[String]) -> Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    let version = client.get(ANTHROPIC_VERSION).cloned();
    headers.insert(ANTHROPIC_VERSION, version.unwrap_or(THIS_VERSION));
    if !betas.is_empty() {
        let value = HeaderValue::try_from(betas.join(","))
            .map_err(|_| GatewayError::Internal("the beta flags are not a header value"))?;
        headers.insert(BETA, value);
    }
    Ok(headers)
}

/// The error for a model that does not support Messages.
pub(crate) fn unsupported(target: &Target) -> GatewayError {
    GatewayError::Request(RequestError::unsupported(
        "model",
        format!(
            "{} does not support messages: {}",
            target.capabilities.title,
            target.capabilities.apis.advice()
        ),
    ))
}

/// The request for its target.
pub(super) fn prepare(
    request: TargetRequest<'_>,
) -> Result<Preparation<Encoding<ReplyContext, Restorer>>> {
    let TargetRequest {
        target, body, head, ..
    } = request;
    let options = converse::decode_options(&request)?;
    let betas = betas(request.headers);
    let api = target.capabilities.apis.messages;
    let translate = || {
        let decoded = decode(body, &betas, &options)?;
        converse::prepare(
            (&decoded.request, body.len()),
            decoded.upstream_stream,
            decoded.fetches,
            decoded.warnings,
            decoded.reply,
        )
    };
    match api.ok_or_else(|| unsupported(target))? {
        BedrockApi::Converse => translate(),
        BedrockApi::InvokeModel if needs_converse(body, &options) => translate(),
        BedrockApi::InvokeModel => {
            let operation = if head.stream {
                Operation::InvokeModelWithResponseStream
            } else {
                Operation::InvokeModel
            };
            let sent = passthrough(body, &betas, Endpoint::InvokeModel, &options)?;
            forward(request, sent, operation, HeaderMap::new())
        }
        api if api.path(Protocol::Messages).is_some() => {
            let operation = Operation::Passthrough {
                api,
                protocol: Protocol::Messages,
                stream: head.stream,
            };
            let via = Endpoint::Anthropic {
                model: &target.model_id,
            };
            let sent = passthrough(body, &betas, via, &options)?;
            let headers = endpoint_headers(request.headers, &sent.betas)?;
            forward(request, sent, operation, headers)
        }
        _ => Err(unsupported(target)),
    }
}

/// A passthrough request with Bedrock's headers for service tier and guardrail.
fn forward(
    request: TargetRequest<'_>,
    sent: Passthrough,
    operation: Operation,
    mut headers: HeaderMap,
) -> Result<Preparation<Encoding<ReplyContext, Restorer>>> {
    if let Some(tier) = sent.service_tier {
        headers.insert(SERVICE_TIER, HeaderValue::from_static(tier));
    }
    let of_headers = guardrail::of_headers(request.headers)?;
    if of_headers.is_some() && sent.guardrail.is_some() {
        return Err(guardrail_set_twice().into());
    }
    let client = of_headers.or(sent.guardrail);
    let forced = request.config.guardrail.as_ref();
    guardrail::apply(forced, client.as_ref(), operation, &mut headers)?;
    Ok(Prepared {
        headers,
        warnings: sent.warnings,
        ..Prepared::new(operation, sent.body, Encoding::Passthrough(sent.restorer))
    }
    .into())
}
