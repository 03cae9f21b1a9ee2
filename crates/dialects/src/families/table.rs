//! The table of families: parsing, overrides and lookup.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use serde::Deserialize;
use serde_json::{Map, Value};
use wildmatch::WildMatchPattern;

use super::{capabilities::ModelCapabilities, ids::base_model_id};

/// The built-in table.
const BUILTIN: &str = include_str!("builtin.yaml");
/// Key of the family for models that match no pattern.
const OTHER: &str = "other";

/// Errors in the table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FamilyError {
    /// The capabilities of a family are invalid.
    #[error("modelFamilies.{family}: {message}")]
    Capabilities {
        /// Key of the family.
        family: String,
        /// The problem.
        message: String,
    },
    /// A new family has no pattern.
    #[error(
        "modelFamilies.{family}.match: a new family needs at least one pattern of model ids, such as \"acme.*\""
    )]
    NoPattern {
        /// Key of the family.
        family: String,
    },
    /// `extends` names a family that does not exist or is defined later.
    #[error("modelFamilies.{family}.extends: no family {base:?} is defined before it")]
    NoBase {
        /// Key of the family.
        family: String,
        /// The missing family.
        base: String,
    },
}

/// All families, in order of precedence.
#[derive(Clone, Debug)]
pub struct FamilyTable {
    families: Vec<Family>,
    other: Arc<ModelCapabilities>,
}

/// A pattern of model ids, in which `*` matches any run of characters and nothing else is special.
type Pattern = WildMatchPattern<'*', '\0'>;

#[derive(Clone, Debug)]
struct Family {
    key: String,
    patterns: Vec<Pattern>,
    merged: Map<String, Value>,
    capabilities: Arc<ModelCapabilities>,
    /// Whether the family only serves as a base for others.
    template: bool,
}

#[derive(Deserialize)]
struct Document {
    defaults: Map<String, Value>,
    families: Vec<Map<String, Value>>,
}

static SHARED: LazyLock<Arc<FamilyTable>> = LazyLock::new(|| {
    #[expect(
        clippy::expect_used,
        reason = "the text is part of the program and is parsed by tests"
    )]
    let table = FamilyTable::parse(BUILTIN).expect("the built-in table is valid");
    Arc::new(table)
});

impl FamilyTable {
    /// The built-in table.
    pub fn builtin() -> Arc<Self> {
        Arc::clone(&SHARED)
    }

    /// The built-in table with the overrides in `modelFamilies` of the configuration.
    ///
    /// The key of a built-in family overrides the given fields and adds the given `match` patterns. A new key is a new
    /// family: it requires `match`, and inherits capabilities from `extends`, or else from `other`. Patterns of overrides
    /// take precedence over built-in patterns.
    ///
    /// # Errors
    /// When a field is unknown or has the wrong type; the error names it.
    pub fn with_overrides(overrides: &BTreeMap<String, Value>) -> Result<Arc<Self>, FamilyError> {
        let builtin = Self::builtin();
        if overrides.is_empty() {
            return Ok(builtin);
        }
        let mut table = (*builtin).clone();
        let mut first = Vec::new();
        for (key, value) in overrides {
            let Value::Object(given) = value else {
                return Err(capabilities_error(
                    key,
                    "expected an object of capabilities",
                ));
            };
            let mut given = given.clone();
            let patterns = take_patterns(key, &mut given)?;
            let existing = table.families.iter().position(|family| family.key == *key);
            let base = match (existing, take_string(key, &mut given, "extends")?) {
                (_, Some(base)) => table.merged(key, &base)?.clone(),
                (Some(_), None) => table.merged(key, key)?.clone(),
                (None, None) => table.merged(key, OTHER)?.clone(),
            };
            let mut merged = base;
            merged.insert("family".to_owned(), key.as_str().into());
            if existing.is_none() && !given.contains_key("title") {
                merged.insert("title".to_owned(), key.as_str().into());
            }
            merge(&mut merged, given);
            let capabilities = Arc::new(read_capabilities(key, &merged)?);
            let family = Family {
                key: key.clone(),
                patterns,
                merged,
                capabilities,
                template: false,
            };
            if key == OTHER {
                table.other = Arc::clone(&family.capabilities);
            }
            if let Some(slot) = existing.and_then(|at| table.families.get_mut(at)) {
                slot.merged.clone_from(&family.merged);
                slot.capabilities = Arc::clone(&family.capabilities);
            } else if family.patterns.is_empty() {
                return Err(FamilyError::NoPattern {
                    family: key.clone(),
                });
            }
            if !family.patterns.is_empty() {
                first.push(family);
            }
        }
        first.append(&mut table.families);
        table.families = first;
        Ok(Arc::new(table))
    }

    /// The capabilities of a model, given by id, profile id or ARN; `base_model` is the configured base model of an ARN.
    pub fn resolve(&self, model: &str, base_model: Option<&str>) -> Arc<ModelCapabilities> {
        let id = base_model.map_or_else(|| base_model_id(model), base_model_id);
        let Some(id) = id else {
            return Arc::clone(&self.other);
        };
        let id = id.to_ascii_lowercase();
        let family = self
            .families
            .iter()
            .find(|family| family.patterns.iter().any(|pattern| pattern.matches(&id)));
        family.map_or_else(
            || Arc::clone(&self.other),
            |family| Arc::clone(&family.capabilities),
        )
    }

    /// All families with models, in the order of the table; `other` is last.
    pub fn families(&self) -> Vec<Arc<ModelCapabilities>> {
        let mut all: Vec<Arc<ModelCapabilities>> = Vec::new();
        for family in self.families.iter().filter(|family| !family.template) {
            if !all
                .iter()
                .any(|capabilities| capabilities.family == family.key)
            {
                all.push(Arc::clone(&family.capabilities));
            }
        }
        all
    }

    fn parse(text: &str) -> Result<Self, FamilyError> {
        let document: Document = serde_yaml::from_str(text)
            .map_err(|error| capabilities_error("builtin", &error.to_string()))?;
        let mut defaults = document.defaults;
        defaults.insert("family".to_owned(), OTHER.into());
        let other = Arc::new(read_capabilities(OTHER, &defaults)?);
        let mut table = Self {
            families: Vec::new(),
            other: Arc::clone(&other),
        };
        let catch_all = Family {
            key: OTHER.to_owned(),
            patterns: Vec::new(),
            merged: defaults.clone(),
            capabilities: other,
            template: false,
        };
        for mut given in document.families {
            let key = take_string("builtin", &mut given, "family")?.unwrap_or_default();
            let patterns = take_patterns(&key, &mut given)?;
            let mut merged = match take_string(&key, &mut given, "extends")? {
                Some(base) => table.merged(&key, &base)?.clone(),
                None => defaults.clone(),
            };
            merge(&mut merged, given);
            merged.insert("family".to_owned(), key.as_str().into());
            let capabilities = Arc::new(read_capabilities(&key, &merged)?);
            table.families.push(Family {
                template: patterns.is_empty(),
                key,
                patterns,
                merged,
                capabilities,
            });
        }
        table.families.push(catch_all);
        Ok(table)
    }

    fn merged(&self, family: &str, base: &str) -> Result<&Map<String, Value>, FamilyError> {
        self.families
            .iter()
            .find(|candidate| candidate.key == base)
            .map(|candidate| &candidate.merged)
            .ok_or_else(|| FamilyError::NoBase {
                family: family.to_owned(),
                base: base.to_owned(),
            })
    }
}

fn capabilities_error(family: &str, message: &str) -> FamilyError {
    FamilyError::Capabilities {
        family: family.to_owned(),
        message: message.to_owned(),
    }
}

fn read_capabilities(
    family: &str,
    merged: &Map<String, Value>,
) -> Result<ModelCapabilities, FamilyError> {
    ModelCapabilities::deserialize(Value::Object(merged.clone()))
        .map_err(|error| capabilities_error(family, &error.to_string()))
}

fn take_string(
    family: &str,
    given: &mut Map<String, Value>,
    key: &str,
) -> Result<Option<String>, FamilyError> {
    match given.shift_remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(capabilities_error(
            family,
            &format!("{key}: expected a string"),
        )),
    }
}

fn take_patterns(
    family: &str,
    given: &mut Map<String, Value>,
) -> Result<Vec<Pattern>, FamilyError> {
    let Some(value) = given.shift_remove("match") else {
        return Ok(Vec::new());
    };
    Vec::<String>::deserialize(value)
        .map(|patterns| {
            patterns
                .iter()
                .map(|pattern| Pattern::new(&pattern.to_ascii_lowercase()))
                .collect()
        })
        .map_err(|error| capabilities_error(family, &format!("match: {error}")))
}

/// Merges objects recursively and replaces other values; `efforts` is replaced as a whole.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(old)), Value::Object(new)) if key != "efforts" => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests;
