//! A request of this dialect as one of Bedrock's, for a target and the API that serves it: steps 3 and 5.

use bedrock::apis::{BedrockApi, Protocol};
use bytes::Bytes;
use dialects::{
    anthropic::{Endpoint, Passthrough, decode, passthrough},
    translation::{DecodeOptions, RequestError},
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{BETA, VERSION, Way};
use crate::{
    http::error::GatewayError,
    pipeline::{
        active_config::Live,
        converse::{Attempt, Media, by_converse, options},
        route::Target,
    },
    upstream::{call::Prepared, guardrail, operation::Operation},
};

/// The version of the API that everything here is written for.
const THIS_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");
const SERVICE_TIER: HeaderName = HeaderName::from_static("x-amzn-bedrock-service-tier");

/// What a request says in headers.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    betas: Vec<String>,
    version: HeaderValue,
}

impl Given {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let text = |value: &HeaderValue| value.to_str().ok().map(ToOwned::to_owned);
        Self {
            betas: headers.get_all(BETA).iter().filter_map(text).collect(),
            version: headers.get(VERSION).cloned().unwrap_or(THIS_VERSION),
        }
    }

    pub(crate) fn betas(&self) -> Vec<&str> {
        self.betas.iter().map(String::as_str).collect()
    }

    /// Headers of an Anthropic endpoint.
    pub(crate) fn headers(&self, betas: &[String]) -> Result<HeaderMap, GatewayError> {
        let mut headers = HeaderMap::new();
        headers.insert(VERSION, self.version.clone());
        if !betas.is_empty() {
            let value = HeaderValue::try_from(betas.join(","))
                .map_err(|_| GatewayError::Internal("beta flags that are no header value"))?;
            headers.insert(BETA, value);
        }
        Ok(headers)
    }
}

/// A model that nothing serves in this dialect.
pub(crate) fn unserved(target: &Target) -> GatewayError {
    GatewayError::Request(RequestError::unsupported(
        "model",
        format!(
            "{} is not for messages: {}",
            target.capabilities.title,
            target.capabilities.apis.advice()
        ),
    ))
}

/// The request as `target` takes it.
pub(super) fn prepare(
    live: &Live,
    target: &Target,
    body: &[u8],
    fetched: &Media,
    given: &Given,
) -> Result<Attempt<Way>, GatewayError> {
    let options = options(live, target, fetched);
    let api = target
        .capabilities
        .apis
        .messages
        .ok_or_else(|| unserved(target))?;
    match api {
        BedrockApi::Converse => translated(body, given, &options),
        BedrockApi::InvokeModel => {
            let stream = wants_stream(body)?;
            let operation = if stream {
                Operation::InvokeModelWithResponseStream
            } else {
                Operation::InvokeModel
            };
            let native = passthrough(body, &given.betas(), Endpoint::InvokeModel, &options)?;
            ready(live, native, operation, HeaderMap::new())
        }
        api if api.path(Protocol::Messages).is_some() => {
            let operation = Operation::Passthrough {
                api,
                protocol: Protocol::Messages,
                stream: wants_stream(body)?,
            };
            let door = Endpoint::Anthropic {
                model: &target.model_id,
            };
            let native = passthrough(body, &given.betas(), door, &options)?;
            let headers = given.headers(&native.betas)?;
            ready(live, native, operation, headers)
        }
        _ => Err(unserved(target)),
    }
}

fn wants_stream(body: &[u8]) -> Result<bool, GatewayError> {
    Ok(dialects::translation::head(body)?.stream)
}

/// A native request with the headers of Bedrock's that belong to it.
fn ready(
    live: &Live,
    native: Passthrough,
    operation: Operation,
    mut headers: HeaderMap,
) -> Result<Attempt<Way>, GatewayError> {
    if let Some(tier) = native.service_tier {
        headers.insert(SERVICE_TIER, HeaderValue::from_static(tier));
    }
    guardrail::force(&live.config, operation, &mut headers)?;
    Ok(Attempt::Ready(Box::new(Prepared {
        operation,
        headers,
        body: Bytes::from(native.body),
        warnings: native.warnings,
        context: Way::Passthrough,
    })))
}

fn translated(
    body: &[u8],
    given: &Given,
    options: &DecodeOptions<'_>,
) -> Result<Attempt<Way>, GatewayError> {
    let decoded = decode(body, &given.betas(), options)?;
    if !decoded.fetches.is_empty() {
        return Ok(Attempt::Wants(decoded.fetches));
    }
    by_converse(
        &decoded.request,
        decoded.upstream_stream,
        decoded.warnings,
        Way::Converse(Box::new(decoded.reply)),
    )
}
