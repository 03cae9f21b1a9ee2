//! Documentation of the custom resources, from their schemas: what `kubectl explain` says, on one page.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::Value;

/// Fields of Kubernetes' own types, which are documented there.
const OF_KUBERNETES: [(&str, &str); 8] = [
    ("affinity", "Affinity"),
    ("conditions", "list of Condition"),
    ("from", "list of NetworkPolicyPeer"),
    ("imagePullSecrets", "list of LocalObjectReference"),
    ("resources", "ResourceRequirements"),
    ("selector", "LabelSelector"),
    ("tolerations", "list of Toleration"),
    (
        "topologySpreadConstraints",
        "list of TopologySpreadConstraint",
    ),
];

/// Name and content of a page for each resource.
pub(crate) fn files() -> Result<Vec<(String, String)>> {
    api::v1alpha1::crds()
        .iter()
        .map(|crd| {
            let crd = serde_json::to_value(crd).context("a definition is no JSON")?;
            let name = text(&crd, "/spec/names/singular");
            Ok((format!("{name}.md"), page(&crd)?))
        })
        .collect()
}

fn page(crd: &Value) -> Result<String> {
    let kind = text(crd, "/spec/names/kind");
    let version = crd.pointer("/spec/versions/0").context("no version")?;
    let schema = version
        .pointer("/schema/openAPIV3Schema")
        .context("no schema")?;
    let scope = match text(crd, "/spec/scope") {
        "Namespaced" => "in a namespace",
        _ => "for the whole cluster",
    };
    let mut page = format!(
        "<!-- Generated from crates/api by `cargo xtask reference`; do not edit. -->\n\
         # {kind}\n\n{}\n\n\
         `apiVersion: {}/{}`, {scope}; short name `{}`, category `{}`.\n",
        text(schema, "/description"),
        text(crd, "/spec/group"),
        text(version, "/name"),
        text(crd, "/spec/names/shortNames/0"),
        text(crd, "/spec/names/categories/0"),
    );
    columns(version, &mut page)?;
    rules(schema, &mut page)?;
    for part in ["spec", "status"] {
        if let Some(schema) = schema.pointer(&format!("/properties/{part}")) {
            section(part, schema, &mut page)?;
        }
    }
    Ok(page)
}

fn columns(version: &Value, page: &mut String) -> Result<()> {
    let columns = version
        .get("additionalPrinterColumns")
        .and_then(Value::as_array);
    page.push_str("\n`kubectl get` shows:\n\n| Column | |\n|---|---|\n");
    for column in columns.into_iter().flatten() {
        let wide = column.get("priority").and_then(Value::as_i64).unwrap_or(0) > 0;
        let wide = if wide { " (`--output wide`)" } else { "" };
        let description = text(column, "/description");
        writeln!(page, "| {} | {description}{wide} |", text(column, "/name"))?;
    }
    Ok(())
}

/// A table of the fields of an object, then a section for each that is an object itself.
fn section(path: &str, schema: &Value, page: &mut String) -> Result<()> {
    write!(
        page,
        "\n## {path}\n\n{}\n",
        cell(text(schema, "/description"))
    )?;
    let properties = schema.get("properties").and_then(Value::as_object);
    let required = |name: &str| {
        let names = schema.get("required").and_then(Value::as_array);
        names.into_iter().flatten().any(|one| one == name)
    };
    if properties.is_some_and(|properties| !properties.is_empty()) {
        page.push_str("\n| Field | Type | Default | |\n|---|---|---|---|\n");
    }
    for (name, field) in properties.into_iter().flatten() {
        let default = match field.get("default") {
            Some(value) => short(value),
            None if required(name) => "**required**".to_owned(),
            None => applied_default(text(field, "/description"))
                .map_or_else(String::new, |default| format!("`{default}`")),
        };
        let mut description = cell(text(field, "/description"));
        // Those of an object stand in its own section.
        let own = field.get("properties").is_none();
        for message in messages(field).filter(|_| own) {
            write!(description, " Rule: {}.", cell(message))?;
        }
        writeln!(
            page,
            "| `{name}` | {} | {default} | {description} |",
            cell(&kind(name, field))
        )?;
    }
    rules(schema, page)?;
    for (name, field) in properties.into_iter().flatten() {
        if is_of_kubernetes(name) {
            continue;
        }
        if field.get("properties").is_some() {
            section(&format!("{path}.{name}"), field, page)?;
        } else if let Some(items) = field
            .get("items")
            .filter(|items| items.get("properties").is_some())
        {
            section(&format!("{path}.{name}[]"), items, page)?;
        }
    }
    Ok(())
}

/// The rules over a whole object, in the words of their refusals.
fn rules(schema: &Value, page: &mut String) -> Result<()> {
    let messages: Vec<&str> = messages(schema).collect();
    if !messages.is_empty() {
        page.push_str("\nRules:\n");
    }
    for message in messages {
        writeln!(page, "- {}", cell(message))?;
    }
    Ok(())
}

fn messages(schema: &Value) -> impl Iterator<Item = &str> {
    let rules = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    rules
        .into_iter()
        .flatten()
        .filter_map(|rule| rule.get("message")?.as_str())
}

/// Type and bounds.
fn kind(name: &str, field: &Value) -> String {
    if let Some((_, kind)) = OF_KUBERNETES.iter().find(|(field, _)| *field == name) {
        return (*kind).to_owned();
    }
    if let Some(values) = field.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().map(short).collect();
        return values.join(", ");
    }
    let bound = |name: &str| field.get(name).and_then(Value::as_f64);
    let range = match (bound("minimum"), bound("maximum")) {
        (Some(least), Some(most)) => format!(" {least}–{most}"),
        (Some(least), None) => format!(" from {least}"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    };
    match text(field, "/type") {
        "array" => {
            let items = field
                .get("items")
                .map_or_else(String::new, |items| kind("", items));
            let most =
                bound("maxItems").map_or_else(String::new, |most| format!(", at most {most}"));
            format!("list of {items}{most}")
        }
        "object" if field.get("properties").is_some() => "object".to_owned(),
        "object" => match field.get("additionalProperties") {
            Some(values) => format!("map to {}", kind("", values)),
            None => "object".to_owned(),
        },
        "" => "integer or string".to_owned(),
        other => format!("{other}{range}"),
    }
}

fn is_of_kubernetes(name: &str) -> bool {
    OF_KUBERNETES.iter().any(|(field, _)| *field == name)
}

/// A value as JSON, unless it is long.
fn short(value: &Value) -> String {
    const LONGEST: usize = 40;
    let json = value.to_string();
    if json.len() > LONGEST {
        return "objects with their defaults".to_owned();
    }
    format!("`{json}`")
}

/// A default that the operator applies: a single word after "Default:" at the end of a description.
fn applied_default(description: &str) -> Option<&str> {
    let (_, default) = description.rsplit_once("Default: ")?;
    let default = default.strip_suffix('.')?;
    (!default.contains(char::is_whitespace)).then_some(default)
}

/// Text that ends no cell of a table, and whose stars are stars.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
        .replace('*', "\\*")
        .replace('\n', " ")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}
