//! The IAM policy language, as far as this project writes it.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// A policy document. Its JSON has one form for equal values: fields in the order of the grammar,
/// lists and conditions sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// The statements, in the order they are written.
    pub statement: Vec<Statement>,
}

/// One statement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// What it is for: letters and digits only.
    pub sid: String,
    /// Allow or deny.
    pub effect: Effect,
    /// Who, in trust policies: kind (`AWS`, `Service`, `Federated`) and names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub principal: BTreeMap<String, Values>,
    /// Such as `bedrock:InvokeModel`.
    pub action: Values,
    /// ARNs or patterns of them; none in trust policies.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub resource: Values,
    /// Operator, key, values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<String, BTreeMap<String, Values>>,
}

/// What a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// Permits.
    Allow,
    /// Forbids, whatever else permits.
    Deny,
}

/// One text or several; a single one is written without a list, as people do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<String>);

impl Document {
    /// A document of these statements.
    pub fn new(statement: Vec<Statement>) -> Self {
        Self {
            version: "2012-10-17",
            statement,
        }
    }

    /// JSON with two spaces of indentation and a line feed at the end.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Characters that count against IAM's quotas: all but white space.
    pub fn size(&self) -> usize {
        let json = serde_json::to_string(self).unwrap_or_default();
        json.chars().filter(|c| !c.is_whitespace()).count()
    }
}

impl Statement {
    /// An allowing statement.
    pub fn allow(sid: &str, actions: &[&str], resources: impl IntoIterator<Item = String>) -> Self {
        Self {
            sid: sid.to_owned(),
            effect: Effect::Allow,
            principal: BTreeMap::new(),
            action: actions.iter().copied().collect(),
            resource: resources.into_iter().collect(),
            condition: BTreeMap::new(),
        }
    }

    /// The same statement, denying.
    #[must_use]
    pub fn denying(mut self) -> Self {
        self.effect = Effect::Deny;
        self
    }

    /// The same statement for a principal.
    #[must_use]
    pub fn principal(mut self, kind: &str, names: impl IntoIterator<Item = String>) -> Self {
        self.principal
            .insert(kind.to_owned(), names.into_iter().collect());
        self
    }

    /// The same statement under one more condition; no values, no condition.
    #[must_use]
    pub fn when(
        mut self,
        operator: &str,
        key: &str,
        values: impl IntoIterator<Item = String>,
    ) -> Self {
        let values: Values = values.into_iter().collect();
        if !values.is_empty() {
            self.condition
                .entry(operator.to_owned())
                .or_default()
                .insert(key.to_owned(), values);
        }
        self
    }

    /// The same statement under a condition on texts: `StringLike` when one of them is a pattern.
    #[must_use]
    pub fn when_text(self, key: &str, values: impl IntoIterator<Item = String>) -> Self {
        let values: Vec<String> = values.into_iter().collect();
        let pattern = values.iter().any(|value| value.contains(['*', '?']));
        let operator = if pattern {
            "StringLike"
        } else {
            "StringEquals"
        };
        self.when(operator, key, values)
    }
}

impl Values {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The texts.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl FromIterator<String> for Values {
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        let mut texts: Vec<String> = texts.into_iter().collect();
        texts.sort();
        texts.dedup();
        Self(texts)
    }
}

impl<'a> FromIterator<&'a str> for Values {
    fn from_iter<I: IntoIterator<Item = &'a str>>(texts: I) -> Self {
        texts.into_iter().map(str::to_owned).collect()
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}
