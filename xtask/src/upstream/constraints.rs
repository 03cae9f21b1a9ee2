//! Converts AWS's service models, as botocore publishes them, to the data file of the simulated AWS.
//!
//! The file keeps the operations that the simulated AWS serves, with every shape of their requests and responses and
//! every constraint; it drops documentation and what only an SDK needs.

use std::{collections::BTreeMap, path::Path};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::{
    at,
    packages::{self, Package},
};
use crate::console::Step;

/// The generated file.
pub(super) const FILE: &str = "crates/awsdouble/data/service-models.json";

/// Services and their operations that the simulated AWS serves.
const SERVED: [(&str, &[&str]); 3] = [
    (
        "bedrock-runtime",
        &[
            "ApplyGuardrail",
            "Converse",
            "ConverseStream",
            "CountTokens",
            "InvokeModel",
            "InvokeModelWithResponseStream",
        ],
    ),
    (
        "bedrock",
        &[
            "GetFoundationModel",
            "GetInferenceProfile",
            "ListFoundationModels",
            "ListInferenceProfiles",
        ],
    ),
    (
        "sts",
        &[
            "AssumeRole",
            "AssumeRoleWithWebIdentity",
            "GetCallerIdentity",
        ],
    ),
];

/// What the data file keeps of a shape.
const KEPT: [&str; 12] = [
    "type",
    "required",
    "enum",
    "min",
    "max",
    "pattern",
    "union",
    "document",
    "sensitive",
    "eventstream",
    "event",
    "exception",
];

/// Converts the service models of an unpacked botocore.
pub(super) fn convert(step: &Step, botocore: &Package) -> Result<Value> {
    let mut services = Map::new();
    for (service, operations) in SERVED {
        let directory = botocore.directory.join("data").join(service);
        let file = newest(&directory)?;
        let model: Value = serde_json::from_str(&packages::decompress(step, &file)?)
            .with_context(|| format!("{} is not valid JSON", file.display()))?;
        services.insert(service.to_owned(), compact(&model, operations)?);
    }
    Ok(json!({
        "package": botocore.name,
        "version": botocore.version,
        "converted": packages::today(step)?,
        "services": services,
    }))
}

/// The model of the service's newest API version.
fn newest(directory: &Path) -> Result<std::path::PathBuf> {
    let versions = packages::names(directory)?;
    let version = versions
        .last()
        .with_context(|| format!("{} is empty", directory.display()))?;
    Ok(directory.join(version).join("service-2.json.gz"))
}

fn compact(model: &Value, operations: &[&str]) -> Result<Value> {
    let mut shapes = BTreeMap::new();
    let mut kept = Map::new();
    for operation in operations {
        let found = at(model, &format!("/operations/{operation}"));
        let name = |member: &str| at(found, &format!("/{member}/shape")).as_str();
        let input = name("input").with_context(|| format!("{operation} has no input"))?;
        for root in [Some(input), name("output")].into_iter().flatten() {
            collect(at(model, "/shapes"), root, &mut shapes)?;
        }
        kept.insert(
            (*operation).to_owned(),
            json!({ "input": input, "output": name("output") }),
        );
    }
    Ok(json!({
        "apiVersion": at(model, "/metadata/apiVersion"),
        "operations": kept,
        "shapes": shapes,
    }))
}

/// Adds a shape and all shapes that it refers to.
fn collect(all: &Value, name: &str, into: &mut BTreeMap<String, Value>) -> Result<()> {
    if into.contains_key(name) {
        return Ok(());
    }
    let shape = all
        .get(name)
        .with_context(|| format!("the service model has no shape {name}"))?;
    let mut kept = Map::new();
    for key in KEPT {
        if let Some(value) = shape.get(key) {
            kept.insert(key.to_owned(), value.clone());
        }
    }
    let mut referred = Vec::new();
    if let Some(members) = shape.get("members").and_then(Value::as_object) {
        let mut short = Map::new();
        for (member, target) in members {
            let shape = at(target, "/shape").as_str().unwrap_or_default();
            referred.push(shape);
            // `header`, `uri`, `querystring`: not in the body.
            short.insert(
                member.clone(),
                match target.get("location") {
                    Some(location) => json!({ "shape": shape, "location": location,
                        "name": target.get("locationName") }),
                    None => json!(shape),
                },
            );
        }
        kept.insert("members".to_owned(), Value::Object(short));
    }
    for key in ["member", "key", "value"] {
        if let Some(target) = shape.get(key) {
            let shape = at(target, "/shape").as_str().unwrap_or_default();
            referred.push(shape);
            kept.insert(key.to_owned(), json!(shape));
        }
    }
    into.insert(name.to_owned(), Value::Object(kept));
    for name in referred {
        collect(all, name, into)?;
    }
    Ok(())
}

/// The content of the data file: one shape a line, so that a change is easy to review.
pub(super) fn render(data: &Value) -> String {
    let mut text = String::from("{\n");
    for key in ["package", "version", "converted"] {
        text = format!("{text}  \"{key}\": {},\n", at(data, &format!("/{key}")));
    }
    text.push_str("  \"services\": {");
    let services = at(data, "/services").as_object();
    for (index, (service, model)) in services.into_iter().flatten().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        text = format!(
            "{text}{comma}\n    \"{service}\": {{\n      \"apiVersion\": {},\n      \"operations\": {},\n      \"shapes\": {{\n",
            at(model, "/apiVersion"),
            at(model, "/operations")
        );
        let lines: Vec<String> = at(model, "/shapes")
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, shape)| format!("        \"{name}\": {shape}"))
            .collect();
        text = format!("{text}{}\n      }}\n    }}", lines.join(",\n"));
    }
    text.push_str("\n  }\n}\n");
    text
}
