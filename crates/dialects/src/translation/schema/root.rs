//! Adapts the root of a tool's schema to families that accept less there than JSON Schema has.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::{Map, Value, value::RawValue};

use super::{RawObject, owned, tool_schema};
use crate::translation::{
    context::Context,
    error::RequestError,
    json::{FieldPath, Json},
    names::{ToolNames, is_argument_name},
};

/// Combinations of schemas, which Claude rejects at the root (<https://github.com/trycua/cua/issues/3303>).
const COMBINATIONS: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// The schema of the arguments of `tool` (Bedrock's name) as the family accepts it; see [`tool_schema`].
///
/// # Errors
/// When the schema does not describe an object, or in strict mode when it would be changed.
pub(crate) fn tool_input<'a>(
    given: Option<Json<'a>>,
    at: &FieldPath<'_>,
    tool: &str,
    context: &mut Context<'_>,
) -> Result<Cow<'a, RawValue>, RequestError> {
    let schema = tool_schema(given, at)?;
    let capabilities = &context.capabilities.tools;
    if capabilities.root_unions && capabilities.any_property_name {
        return Ok(schema);
    }
    let rejected = |message: String| RequestError::invalid(at.to_string(), message);
    let (combined, unnamed) = {
        let root: RawObject<'_> =
            serde_json::from_str(schema.get()).map_err(|error| rejected(error.to_string()))?;
        let is_combination = |key: &String| COMBINATIONS.contains(&key.as_str());
        let combined = root.0.iter().any(|(key, _)| is_combination(key));
        (
            combined,
            root.0
                .iter()
                .any(|(key, value)| key == "properties" && has_bad_name(value)),
        )
    };
    let combined = combined && !capabilities.root_unions;
    if !combined && (!unnamed || capabilities.any_property_name) {
        return Ok(schema);
    }
    let mut root: Map<String, Value> =
        serde_json::from_str(schema.get()).map_err(|error| rejected(error.to_string()))?;
    if combined {
        let how = unions_moved(&context.capabilities.title);
        context.warnings.changed(&at.to_string(), &how)?;
        take_off(&mut root);
    }
    if !context.capabilities.tools.any_property_name {
        rename(&mut root, tool, &mut context.names);
    }
    owned(Value::Object(root).to_string())
}

/// The warning for combinations that were moved.
pub(crate) fn unions_moved(title: &str) -> String {
    format!(
        "anyOf, oneOf and allOf were moved from the root to the description, as {title} requires"
    )
}

/// A schema without combinations at its root; `None` if it has none.
pub(crate) fn without_unions(schema: &str) -> Option<String> {
    let mut root: Map<String, Value> = serde_json::from_str(schema).ok()?;
    if !COMBINATIONS.iter().any(|key| root.contains_key(*key)) {
        return None;
    }
    take_off(&mut root);
    Some(Value::Object(root).to_string())
}

/// A schema with names of properties that Claude accepts; `None` if it has no others.
pub(crate) fn with_names(schema: &str, tool: &str, names: &mut ToolNames) -> Option<String> {
    let unnamed = {
        let root: RawObject<'_> = serde_json::from_str(schema).ok()?;
        let mut properties = root.0.iter().filter(|(key, _)| key == "properties");
        properties.any(|(_, properties)| has_bad_name(properties))
    };
    if !unnamed {
        return None;
    }
    let mut root: Map<String, Value> = serde_json::from_str(schema).ok()?;
    rename(&mut root, tool, names);
    Some(Value::Object(root).to_string())
}

fn has_bad_name(properties: &RawValue) -> bool {
    let properties: RawObject<'_> = serde_json::from_str(properties.get()).unwrap_or_default();
    properties.0.iter().any(|(name, _)| !is_argument_name(name))
}

/// Moves the combinations to the description, and their properties to the root.
fn take_off(root: &mut Map<String, Value>) {
    let mut notes = Vec::new();
    let mut adopted = Adopted::default();
    let listed = root.get("required").and_then(Value::as_array);
    let listed = listed.into_iter().flatten().filter_map(Value::as_str);
    adopted.required.extend(listed.map(str::to_owned));
    for key in COMBINATIONS {
        let Some(Value::Array(branches)) = root.shift_remove(key) else {
            continue;
        };
        let required = key == "allOf" || branches.len() == 1;
        notes.push(format!("{key}: {}", Value::Array(branches.clone())));
        for branch in branches {
            if let Some(Value::Object(branch)) = adopted.resolved(branch, required, root) {
                adopted.adopt(root, branch, required);
            }
        }
    }
    super::describe(root, &notes);
}

/// What the root has adopted from branches.
#[derive(Default)]
struct Adopted {
    /// References to definitions, and whether their required names count: each definition is adopted once.
    references: BTreeSet<(String, bool)>,
    /// The required names.
    required: BTreeSet<String>,
}

impl Adopted {
    /// A schema, or the definition at the root that it refers to; `None` for a definition that was adopted already.
    fn resolved(
        &mut self,
        schema: Value,
        required: bool,
        root: &Map<String, Value>,
    ) -> Option<Value> {
        let Some(path) = schema.get("$ref").and_then(Value::as_str) else {
            return Some(schema);
        };
        if !self.references.insert((path.to_owned(), required)) {
            return None;
        }
        let found = path.strip_prefix("#/").and_then(|path| {
            let (group, name) = path.split_once('/')?;
            root.get(group)?.get(name).cloned()
        });
        Some(found.unwrap_or(schema))
    }

    /// Adds the properties of a branch, and its required names if every value has to match it.
    fn adopt(&mut self, root: &mut Map<String, Value>, branch: Map<String, Value>, required: bool) {
        for (key, value) in branch {
            match (key.as_str(), value) {
                ("properties", Value::Object(given)) => {
                    let all = root
                        .entry("properties")
                        .or_insert_with(|| Value::Object(Map::new()));
                    if let Value::Object(all) = all {
                        for (name, schema) in given {
                            all.entry(name).or_insert(schema);
                        }
                    }
                }
                ("required", Value::Array(given)) if required => {
                    let all = root
                        .entry("required")
                        .or_insert_with(|| Value::Array(Vec::new()));
                    if let Value::Array(all) = all {
                        let is_new = |name: &Value| {
                            name.as_str()
                                .is_some_and(|name| self.required.insert(name.to_owned()))
                        };
                        all.extend(given.into_iter().filter(is_new));
                    }
                }
                _ => {}
            }
        }
    }
}

/// Renames properties at the root that the family rejects; calls get the client's names back.
fn rename(root: &mut Map<String, Value>, tool: &str, names: &mut ToolNames) {
    let Some(Value::Object(properties)) = root.get_mut("properties") else {
        return;
    };
    let taken: BTreeSet<String> = properties.keys().cloned().collect();
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    *properties = std::mem::take(properties)
        .into_iter()
        .map(|(name, schema)| {
            if is_argument_name(&name) {
                return (name, schema);
            }
            let upstream = names.argument(tool, &name, &taken);
            renamed.insert(name, upstream.clone());
            (upstream, schema)
        })
        .collect();
    if let Some(Value::Array(required)) = root.get_mut("required") {
        for name in required {
            if let Some(new) = name.as_str().and_then(|old| renamed.get(old)) {
                *name = Value::from(new.as_str());
            }
        }
    }
}
