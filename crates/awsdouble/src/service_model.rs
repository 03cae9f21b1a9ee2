//! Validates requests against AWS's own service models: types, unknown members, required members, unions,
//! enumerations, lengths, ranges and patterns.
//!
//! `data/service-models.json` is generated from botocore by `cargo xtask upstream --write`; it names the version. The
//! wording of the errors is that of AWS's services as public reports quote it.

mod walk;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;
use serde_json::Value;

use crate::error::AwsError;
use walk::Walk;

const DATA: &str = include_str!("../data/service-models.json");

static MODELS: LazyLock<BTreeMap<String, Service>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the data is compiled into the program, and a test reads it"
    )]
    let file: File = serde_json::from_str(DATA).expect("the service models parse");
    file.services
});

/// Values that a service accepts although its model does not list them: shape, value, source.
const ACCEPTED: [(&str, &str, &str); 1] = [(
    "ToolUseType",
    "tool_use",
    "Claude 4.5 returns it (recorded, pydantic-ai's cassettes); clients send the returned message back as it is",
)];

#[derive(Debug, Default, Deserialize)]
struct File {
    services: BTreeMap<String, Service>,
}

#[derive(Debug, Deserialize)]
struct Service {
    operations: BTreeMap<String, Operation>,
    shapes: BTreeMap<String, Shape>,
}

#[derive(Debug, Deserialize)]
struct Operation {
    input: String,
}

/// A shape with its constraints.
#[derive(Debug, Deserialize)]
#[serde(default)]
struct Shape {
    #[serde(rename = "type")]
    kind: String,
    required: Vec<String>,
    #[serde(rename = "enum")]
    values: Vec<String>,
    min: Option<f64>,
    max: Option<f64>,
    pattern: Option<Pattern>,
    union: bool,
    document: bool,
    sensitive: bool,
    members: serde_json::Map<String, Value>,
    member: Option<String>,
    key: Option<String>,
    value: Option<String>,
}

/// A pattern that matches the whole value.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Pattern {
    text: String,
    whole: Regex,
}

impl TryFrom<String> for Pattern {
    type Error = regex::Error;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let whole = Regex::new(&format!(r"\A(?:{text})\z"))?;
        Ok(Self { text, whole })
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            kind: "structure".to_owned(),
            required: Vec::new(),
            values: Vec::new(),
            min: None,
            max: None,
            pattern: None,
            union: false,
            document: false,
            sensitive: false,
            members: serde_json::Map::new(),
            member: None,
            key: None,
            value: None,
        }
    }
}

impl Shape {
    /// The shape of a member, and whether the body contains it.
    fn member(&self, name: &str) -> Option<(&str, bool)> {
        let found = self.members.get(name)?;
        match found {
            Value::String(shape) => Some((shape, true)),
            other => Some((other.get("shape")?.as_str()?, false)),
        }
    }
}

/// Validates the body of a request like the service's front end.
///
/// # Errors
/// `SerializationException` for a wrong JSON type; `ValidationException` for everything else, with all violated
/// constraints in one message.
pub(crate) fn check(service: &str, operation: &str, body: &Value) -> Result<(), AwsError> {
    let violations = violations(service, operation, body)?;
    match message(&violations) {
        Some(message) => Err(AwsError::validation(message)),
        None => Ok(()),
    }
}

/// The constraints that a request violates, as AWS words them.
///
/// # Errors
/// A wrong JSON type, an unknown member, or a union without exactly one member.
pub(crate) fn violations(
    service: &str,
    operation: &str,
    body: &Value,
) -> Result<Vec<String>, AwsError> {
    let Some(model) = MODELS.get(service) else {
        return Ok(Vec::new());
    };
    let Some(operation) = model.operations.get(operation) else {
        return Ok(Vec::new());
    };
    let mut walk = Walk::new(&model.shapes);
    walk.types(&operation.input, body)?;
    walk.constraints(&operation.input, body);
    if walk.found().is_empty() {
        walk.unions(&operation.input, body)?;
    }
    Ok(walk.into_found())
}

/// One error message for all violated constraints; `None` without any.
pub(crate) fn message(violations: &[String]) -> Option<String> {
    let noun = match violations.len() {
        0 => return None,
        1 => "error",
        _ => "errors",
    };
    Some(format!(
        "{} validation {noun} detected: {}",
        violations.len(),
        violations.join("; ")
    ))
}

#[cfg(test)]
mod tests;
