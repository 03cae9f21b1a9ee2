//! Service fields: metadata, tier, latency and guardrail.

use std::borrow::Cow;

use bedrock::converse::{GuardrailConfig, PerformanceConfig, ServiceTier};
use serde_json::{Map, Value};

use crate::translation::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Json, Object},
    metadata,
    options::GuardrailRef,
};

/// `metadata`, `user` and `safety_identifier` as pairs for the invocation log.
pub(super) fn metadata(
    body: &mut Object<'_>,
    context: &mut Context<'_>,
) -> Result<Map<String, Value>, RequestError> {
    let root = FieldPath::Root;
    let mut pairs: Vec<(Cow<'_, str>, Json<'_>, &str)> = Vec::new();
    if let Some(metadata) = body.object("metadata", &root)? {
        pairs.extend(metadata.rest().map(|(key, value)| (key, value, "metadata")));
    }
    for name in ["user", "safety_identifier"] {
        if let Some(value) = body.take(name) {
            pairs.push((Cow::Borrowed(name), value, name));
        }
    }
    metadata::pairs(pairs, context)
}

/// `service_tier`; `auto` is Bedrock's default.
pub(super) fn tier<'a>(body: &mut Object<'a>) -> Result<Option<ServiceTier<'a>>, RequestError> {
    let Some(tier) = body.string("service_tier", &FieldPath::Root)? else {
        return Ok(None);
    };
    match tier.as_ref() {
        "auto" => Ok(None),
        "default" | "priority" | "flex" | "reserved" => Ok(Some(ServiceTier { kind: tier })),
        other => Err(RequestError::invalid(
            "service_tier",
            format!("{other:?} is not supported; use auto, default, priority, flex or reserved"),
        )),
    }
}

/// `performanceConfig: {latency}`, as in Bedrock's API.
pub(super) fn performance<'a>(
    body: &mut Object<'a>,
    context: &mut Context<'_>,
) -> Result<Option<PerformanceConfig<'a>>, RequestError> {
    let root = FieldPath::Root;
    let Some(mut config) = body.object("performanceConfig", &root)? else {
        return Ok(None);
    };
    let at = root.key("performanceConfig");
    let latency = config.required_string("latency", &at)?;
    if !matches!(latency.as_ref(), "standard" | "optimized") {
        return Err(RequestError::invalid(
            at.key("latency").to_string(),
            "expected \"standard\" or \"optimized\"",
        ));
    }
    context.drop_unknown(config, &at)?;
    Ok(Some(PerformanceConfig { latency }))
}

/// The gateway's guardrail, or else the client's in `guardrailConfig`, as in Bedrock's API.
pub(super) fn guardrail<'a>(
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
        (None, None, Some(_)) => {
            return Err(RequestError::missing(
                at.key("guardrailIdentifier").to_string(),
                "is required",
            ));
        }
        (None, _, None) => return Ok(None),
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
