//! The guardrail of a request, which all dialects take in the same form.

use std::borrow::Cow;

use bedrock::converse::GuardrailConfig;

use super::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Object},
    options::GuardrailRef,
};

/// The gateway's guardrail, or else the client's: in `guardrailConfig`, as in Converse, or in the headers of InvokeModel.
///
/// # Errors
/// When it is incomplete or set in both ways.
pub(crate) fn guardrail<'a>(
    body: &mut Object<'a>,
    stream: bool,
    context: &mut Context<'_>,
) -> Result<Option<GuardrailConfig<'a>>, RequestError> {
    let root = FieldPath::Root;
    let at = root.key("guardrailConfig");
    let mut given = body.object("guardrailConfig", &root)?;
    let mut trace = None;
    let mut mode = None;
    let mut own = None;
    let options = context.options;
    if let Some(headers) = &options.client_guardrail {
        if given.is_some() {
            return Err(twice());
        }
        trace = headers.trace.clone().map(Cow::Owned);
        own = Some(Cow::Owned(headers.guardrail.identifier.clone()));
    }
    if let Some(config) = &mut given {
        own = config.string("guardrailIdentifier", &at)?;
        trace = config.string("trace", &at)?;
        mode = config
            .string("streamProcessingMode", &at)?
            .filter(|_| stream);
    }
    let (identifier, version) = match (&context.options.guardrail, own, &mut given) {
        (
            Some(GuardrailRef {
                identifier,
                version,
            }),
            own,
            config,
        ) => {
            // The asynchronous mode would show text before the guardrail checks it.
            if mode.as_deref().is_some_and(|mode| mode != "sync") {
                return Err(RequestError::unsupported(
                    at.key("streamProcessingMode").to_string(),
                    "must be sync, because this gateway forces a guardrail",
                ));
            }
            let other = own.is_some_and(|own| own != identifier.as_str());
            if let Some(config) = config {
                config.take("guardrailVersion");
            }
            let pair = (Cow::Owned(identifier.clone()), Cow::Owned(version.clone()));
            if other {
                let why = "the gateway's guardrail applies to every request";
                context
                    .warnings
                    .dropped("guardrailConfig.guardrailIdentifier", why)?;
            }
            pair
        }
        (None, Some(own), Some(config)) => (own, config.required_string("guardrailVersion", &at)?),
        (None, Some(own), None) => {
            let version = options
                .client_guardrail
                .as_ref()
                .map(|headers| headers.guardrail.version.clone());
            (own, Cow::Owned(version.unwrap_or_default()))
        }
        (None, None, Some(_)) => {
            return Err(RequestError::missing(
                at.key("guardrailIdentifier").to_string(),
                "is required",
            ));
        }
        (None, None, None) => return Ok(None),
    };
    if let Some(rest) = given {
        context.drop_unknown(rest, &at)?;
    }
    Ok(Some(GuardrailConfig {
        guardrail_identifier: identifier,
        guardrail_version: version,
        trace,
        stream_processing_mode: mode,
    }))
}

/// The error for a guardrail in the body and in headers.
pub fn twice() -> RequestError {
    RequestError::invalid(
        "guardrailConfig",
        "the header X-Amzn-Bedrock-GuardrailIdentifier is also set; send only one of them",
    )
}
