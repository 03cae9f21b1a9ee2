//! Checks of the defaults for gateways, so that a mistake stops the operator and not every gateway.

use std::collections::BTreeMap;

use api::names;
use http::Uri;
use k8s_openapi::api::core::v1::ResourceRequirements;
use serde_json::Value;

use super::{GatewayDefaults, GatewayDefaultsError};
use crate::access::validate::label_problem;

/// Checks what the types do not express.
pub(super) fn check(
    defaults: &GatewayDefaults,
    document: &Value,
) -> Result<(), GatewayDefaultsError> {
    let written = serde_json::to_value(defaults).unwrap_or_default();
    if let Some(field) = unknown(document, &written, "") {
        return Err(invalid(field, "is not a known field"));
    }
    labels("podLabels", &defaults.pod_labels)?;
    if let Some(monitor) = &defaults.pod_monitor {
        labels("podMonitor.labels", &monitor.labels)?;
        if monitor
            .interval
            .as_deref()
            .is_some_and(|text| !is_interval(text))
        {
            return Err(invalid(
                "podMonitor.interval",
                "must be a duration such as 30s",
            ));
        }
    }
    let reserved = format!("{}/", names::GROUP);
    if let Some(key) = defaults
        .pod_annotations
        .keys()
        .find(|key| key.is_empty() || key.starts_with(&reserved))
    {
        return Err(invalid(
            format!("podAnnotations[{key:?}]"),
            "is reserved: the operator sets this annotation",
        ));
    }
    if defaults.priority_class_name.as_deref() == Some("") {
        return Err(invalid("priorityClassName", "must not be empty"));
    }
    for (index, secret) in defaults.image_pull_secrets.iter().enumerate() {
        if secret.name.is_empty() {
            let field = format!("imagePullSecrets[{index}].name");
            return Err(invalid(field, "is required"));
        }
    }
    resources("resources", defaults.resources.as_ref())?;
    resources("sidecar.resources", defaults.sidecar.resources.as_ref())?;
    let requests_cpu = |resources: &ResourceRequirements| {
        let requests = resources.requests.as_ref();
        requests.is_some_and(|requests| requests.contains_key("cpu"))
    };
    if defaults
        .resources
        .as_ref()
        .is_some_and(|one| !requests_cpu(one))
    {
        return Err(invalid(
            "resources.requests.cpu",
            "is required: autoscalers measure CPU utilization relative to it",
        ));
    }
    api::prices::builtin()
        .with(&(&defaults.prices).into())
        .map_err(|error| invalid(format!("prices.{}", error.field), &error.problem))?;
    let proxy = &defaults.proxy;
    for (field, url) in [
        ("proxy.httpsProxy", &proxy.https_proxy),
        ("proxy.httpProxy", &proxy.http_proxy),
    ] {
        if url.as_deref().is_some_and(|url| !is_proxy(url)) {
            return Err(invalid(
                field,
                "must be a URL such as http://proxy.example:3128, without credentials, which would be readable in the pods",
            ));
        }
    }
    Ok(())
}

fn invalid(field: impl Into<String>, message: &str) -> GatewayDefaultsError {
    GatewayDefaultsError::Invalid {
        field: field.into(),
        message: message.to_owned(),
    }
}

/// The first field of the document that was not read: Kubernetes' own types ignore unknown fields.
fn unknown(document: &Value, read: &Value, path: &str) -> Option<String> {
    match (document, read) {
        (Value::Object(fields), _) => fields.iter().find_map(|(name, value)| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match read.get(name) {
                Some(read) => unknown(value, read, &path),
                // The types do not write empty values.
                None => (!is_empty(value)).then_some(path),
            }
        }),
        (Value::Array(items), Value::Array(read)) => items
            .iter()
            .zip(read)
            .enumerate()
            .find_map(|(index, (item, read))| unknown(item, read, &format!("{path}[{index}]"))),
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn labels(field: &str, labels: &BTreeMap<String, String>) -> Result<(), GatewayDefaultsError> {
    label_problem(field, labels).map_or(Ok(()), |problem| {
        Err(GatewayDefaultsError::Invalid {
            field: problem.field,
            message: problem.message,
        })
    })
}

fn resources(
    field: &str,
    resources: Option<&ResourceRequirements>,
) -> Result<(), GatewayDefaultsError> {
    let Some(resources) = resources else {
        return Ok(());
    };
    for (part, map) in [
        ("requests", &resources.requests),
        ("limits", &resources.limits),
    ] {
        for (name, quantity) in map.iter().flatten() {
            if !is_quantity(&quantity.0) {
                return Err(invalid(
                    format!("{field}.{part}.{name}"),
                    "must be a quantity such as 100m or 64Mi",
                ));
            }
        }
    }
    Ok(())
}

/// A non-negative number with a suffix that Kubernetes knows.
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>
fn is_quantity(text: &str) -> bool {
    let number = text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.');
    let digits = text.get(..text.len().saturating_sub(number.len()));
    let digits = digits.unwrap_or_default();
    let exponent = number
        .strip_prefix(['e', 'E'])
        .is_some_and(|rest| rest.parse::<i32>().is_ok());
    let suffixes = [
        "", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei",
    ];
    digits.parse::<f64>().is_ok() && (exponent || suffixes.contains(&number))
}

/// Numbers with units, as in the schema of `BedrockAccess`.
fn is_interval(text: &str) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let unit = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let after = ["ms", "s", "m", "h"]
            .into_iter()
            .find_map(|name| unit.strip_prefix(name));
        match after {
            Some(after) if unit.len() < rest.len() => rest = after,
            _ => return false,
        }
    }
    !text.is_empty()
}

/// A proxy as gateways support it.
fn is_proxy(url: &str) -> bool {
    let Ok(url) = url.parse::<Uri>() else {
        return false;
    };
    let host = url.authority().map_or("", http::uri::Authority::as_str);
    url.scheme_str() == Some("http") && !host.is_empty() && !host.contains('@')
}
