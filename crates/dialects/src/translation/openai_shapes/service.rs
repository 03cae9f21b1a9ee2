//! Service fields: metadata, tier and latency.

use std::borrow::Cow;

use bedrock::converse::{PerformanceConfig, ServiceTier};
use serde_json::{Map, Value};

use crate::translation::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Json, Object},
    metadata,
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
