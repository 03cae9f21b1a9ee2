//! IAM policy documents: the part of the policy language that this project uses.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// A policy document. Equal documents have the same JSON: fields are in the order of the grammar, and lists and conditions
/// are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Document {
    version: &'static str,
    /// The statements, in the order of the document.
    pub statement: Vec<Statement>,
}

/// A statement of a policy document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Statement {
    /// Statement id: letters and digits only.
    pub sid: String,
    /// Effect of the statement.
    pub effect: Effect,
    /// Principals by kind (`AWS`, `Service`, `Federated`). Used in trust policies only.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub principal: BTreeMap<String, Values>,
    /// Actions, such as `bedrock:InvokeModel`.
    pub action: Values,
    /// ARNs or patterns of ARNs. Empty in trust policies.
    #[serde(skip_serializing_if = "Values::is_empty")]
    pub resource: Values,
    /// Conditions: operator, key and values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub condition: BTreeMap<String, BTreeMap<String, Values>>,
}

/// Effect of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Effect {
    /// Allows the actions.
    Allow,
    /// Denies the actions, even if another statement allows them.
    Deny,
}

/// One or more texts. A single text is serialized without a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values(Vec<String>);

impl Document {
    /// Creates a document with these statements.
    pub fn new(statement: Vec<Statement>) -> Self {
        Self {
            version: "2012-10-17",
            statement,
        }
    }

    /// JSON with an indentation of two spaces and a final newline.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Size for IAM quotas: number of characters without white space.
    pub fn size(&self) -> usize {
        let json = serde_json::to_string(self).unwrap_or_default();
        json.chars().filter(|c| !c.is_whitespace()).count()
    }
}

impl Statement {
    /// Creates a statement that allows actions on resources.
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

    /// The same statement with effect `Deny`.
    #[must_use]
    pub fn denying(mut self) -> Self {
        self.effect = Effect::Deny;
        self
    }

    /// The same statement with a principal.
    #[must_use]
    pub fn principal(mut self, kind: &str, names: impl IntoIterator<Item = String>) -> Self {
        self.principal
            .insert(kind.to_owned(), names.into_iter().collect());
        self
    }

    /// The same statement with an additional condition. Without values, no condition is added.
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

    /// The same statement with an additional condition on texts: `StringLike` if one of them is a pattern, otherwise
    /// `StringEquals`.
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
    /// Whether there is no text.
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
