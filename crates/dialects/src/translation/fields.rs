//! Tables of request fields: how each model family supports a field.
//!
//! Decoding consults its dialect's table for fields that it does not read itself, and the documentation prints the
//! table. A test of each dialect sends every field to every family and compares the outcome with the table.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    error::RequestError,
    json::{Json, Object},
    refused,
    warnings::Warnings,
};
use crate::families::{FamilyTable, ModelCapabilities};

/// The fields of an endpoint.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) &'static [Field]);

/// How a model family supports a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// Works as documented.
    Supported,
    /// Works in another way, described by the text.
    Mapped(&'static str),
    /// Dropped with a warning; rejected in strict mode.
    Dropped,
    /// Rejected with status 400.
    Rejected,
}

impl Support {
    fn label(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::Mapped(how) => how,
            Self::Dropped => "dropped",
            Self::Rejected => "rejected",
        }
    }
}

/// A request field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) rule: FieldRule,
    /// The rule of passthrough requests, if it differs.
    passthrough: Option<FieldRule>,
    /// The target in Converse, or the reason for dropping or rejecting the field.
    note: &'static str,
    /// Values without effect, as compact JSON; they are accepted silently.
    pub(crate) harmless: &'static [&'static str],
    /// A value with an effect, for the tests and for descriptions.
    pub(crate) sample: &'static str,
}

/// A request field, for a description of the API.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldDescription {
    /// Its name; a dot separates the names of an object and of its member.
    pub name: &'static str,
    /// The target in Converse, or the reason for dropping or rejecting the field.
    pub note: &'static str,
    /// A value with an effect.
    pub example: Value,
    /// How it is supported, and by which model families: `supported`, `dropped`, `rejected`, or in which other way.
    pub support: Vec<(&'static str, Vec<String>)>,
}

/// How decoding handles a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldRule {
    ByFamily(fn(&ModelCapabilities) -> Support),
    Dropped,
    Rejected,
}

impl FieldRule {
    fn support(self, capabilities: &ModelCapabilities) -> Support {
        match self {
            Self::ByFamily(support) => support(capabilities),
            Self::Dropped => Support::Dropped,
            Self::Rejected => Support::Rejected,
        }
    }
}

/// The model supports the field as documented.
pub(crate) const SUPPORTED: FieldRule = FieldRule::ByFamily(|_| Support::Supported);

impl Field {
    pub(crate) const fn new(
        name: &'static str,
        rule: FieldRule,
        sample: &'static str,
        note: &'static str,
    ) -> Self {
        Self {
            name,
            rule,
            passthrough: None,
            note,
            harmless: &[],
            sample,
        }
    }

    /// Sets the values without effect.
    pub(crate) const fn except(mut self, harmless: &'static [&'static str]) -> Self {
        self.harmless = harmless;
        self
    }

    /// Sets the rule of passthrough requests.
    pub(crate) const fn passthrough(mut self, rule: FieldRule) -> Self {
        self.passthrough = Some(rule);
        self
    }

    /// Whether passthrough requests with the field are rejected, whatever the model.
    pub(crate) const fn is_rejected_by_passthrough(&self) -> bool {
        matches!(self.passthrough, Some(FieldRule::Rejected))
    }

    /// How a model called by Converse supports the field.
    pub(crate) fn support(&self, capabilities: &ModelCapabilities) -> Support {
        self.rule.support(capabilities)
    }

    /// How a model supports the field in a passthrough request.
    pub(crate) fn passthrough_support(&self, capabilities: &ModelCapabilities) -> Support {
        self.passthrough.unwrap_or(self.rule).support(capabilities)
    }

    #[cfg(test)]
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    #[cfg(test)]
    pub(crate) const fn sample(&self) -> &'static str {
        self.sample
    }

    #[cfg(test)]
    pub(crate) const fn harmless(&self) -> &'static [&'static str] {
        self.harmless
    }

    #[cfg(test)]
    pub(crate) const fn is_dropped(&self) -> bool {
        matches!(self.rule, FieldRule::Dropped)
    }

    fn is_harmless(&self, value: &Json<'_>) -> bool {
        let text = serde_json::to_string(value).unwrap_or_default();
        self.harmless.contains(&text.as_str())
    }
}

impl Fields {
    /// Rejects fields that are unsupported and would change the response.
    pub(crate) fn reject(&self, body: &mut Object<'_>) -> Result<(), RequestError> {
        for field in self
            .0
            .iter()
            .filter(|field| matches!(field.rule, FieldRule::Rejected))
        {
            if let Some(value) = body.take(field.name)
                && !field.is_harmless(&value)
            {
                return Err(RequestError::unsupported(field.name, field.note));
            }
        }
        Ok(())
    }

    /// Drops the remaining fields with a warning for each; rejects those that would change the response.
    pub(crate) fn drop_remaining(
        &self,
        body: Object<'_>,
        warnings: &mut Warnings,
    ) -> Result<(), RequestError> {
        for (key, value) in body.rest() {
            match self.0.iter().find(|field| field.name == key) {
                Some(field) if field.is_harmless(&value) => {}
                Some(field) if matches!(field.rule, FieldRule::Rejected) => {
                    return Err(RequestError::unsupported(field.name, field.note));
                }
                Some(field) => warnings.dropped(field.name, field.note)?,
                None => {
                    let text = serde_json::to_string(&value).unwrap_or_default();
                    if !refused::is_harmless(&key, &text)? {
                        let why = "not a field of this endpoint (use additionalModelRequestFields for \
                            model-specific fields)";
                        warnings.dropped(&key, why)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The table for a machine-readable description of the API.
    pub(crate) fn descriptions(
        &self,
        shown: fn(&ModelCapabilities) -> bool,
    ) -> Vec<FieldDescription> {
        let families = FamilyTable::builtin().families();
        let chat: Vec<_> = families
            .iter()
            .filter(|capabilities| shown(capabilities))
            .collect();
        let describe = |field: &Field| {
            let mut support: Vec<(&'static str, Vec<String>)> = Vec::new();
            for capabilities in &chat {
                let label = field.support(capabilities).label();
                let title = capabilities.title.clone();
                match support.iter_mut().find(|(known, _)| *known == label) {
                    Some((_, titles)) => titles.push(title),
                    None => support.push((label, vec![title])),
                }
            }
            FieldDescription {
                name: field.name,
                note: field.note,
                example: serde_json::from_str(field.sample).unwrap_or_default(),
                support,
            }
        };
        self.0.iter().map(describe).collect()
    }

    /// The name of a field of this table.
    pub(crate) fn known(&self, name: &str) -> Option<&'static str> {
        let mut fields = self.0.iter();
        fields
            .find(|field| field.name == name)
            .map(|field| field.name)
    }

    /// The table as Markdown for the documentation: first the fields that all families support alike, then the
    /// fields that differ by family.
    pub(crate) fn markdown(&self, shown: fn(&ModelCapabilities) -> bool) -> String {
        let families = FamilyTable::builtin().families();
        let chat: Vec<_> = families
            .iter()
            .filter(|capabilities| shown(capabilities))
            .collect();
        let (same, differing): (Vec<&Field>, Vec<&Field>) = self.0.iter().partition(|field| {
            let mut supports = chat.iter().map(|capabilities| field.support(capabilities));
            let first = supports.next();
            supports.all(|support| Some(support) == first)
        });
        let mut text = String::from("| Field | Support | Note |\n|---|---|---|\n");
        for field in same {
            let support = chat
                .first()
                .map_or("", |capabilities| field.support(capabilities).label());
            push(
                &mut text,
                format_args!("| `{}` | {support} | {} |\n", field.name, field.note),
            );
        }
        text.push_str("\n| Family |");
        for field in &differing {
            push(&mut text, format_args!(" `{}` |", field.name));
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(differing.len()));
        text.push('\n');
        for capabilities in &chat {
            push(&mut text, format_args!("| {} |", capabilities.title));
            for field in &differing {
                push(
                    &mut text,
                    format_args!(" {} |", field.support(capabilities).label()),
                );
            }
            text.push('\n');
        }
        text.push('\n');
        for field in differing {
            push(
                &mut text,
                format_args!("- `{}`: {}\n", field.name, field.note),
            );
        }
        text
    }
}

impl Fields {
    /// The section about models that get the client's body, for the documentation. `changed`: the fields that the gateway
    /// changes in it.
    pub(crate) fn forwarded(&self, shown: fn(&ModelCapabilities) -> bool, changed: &str) -> String {
        let families = FamilyTable::builtin().families();
        let titles: Vec<&str> = families
            .iter()
            .filter(|capabilities| shown(capabilities))
            .map(|capabilities| capabilities.title.as_str())
            .collect();
        let rejected: Vec<String> = self
            .0
            .iter()
            .filter(|field| field.is_rejected_by_passthrough())
            .map(|field| format!("`{}`", field.name))
            .collect();
        let mut text = format!(
            "\n## Passthrough\n\nBedrock serves these families in this protocol, unless the target sets `api: Converse`: {}. \
             The gateway changes {changed} in the body; other fields are forwarded unchanged, and Bedrock supports or \
             rejects them.\n",
            titles.join("; ")
        );
        if !rejected.is_empty() {
            let rejected = rejected.join(", ");
            push(
                &mut text,
                format_args!("Only Converse has {rejected}: the gateway rejects them.\n"),
            );
        }
        text
    }

    /// The table of passthrough requests as Markdown: the fields whose support differs from that by Converse for one of
    /// the families.
    pub(crate) fn passthrough_markdown(&self, shown: fn(&ModelCapabilities) -> bool) -> String {
        let families = FamilyTable::builtin().families();
        let shown: Vec<_> = families
            .iter()
            .filter(|capabilities| shown(capabilities))
            .collect();
        let differs = |field: &&Field| {
            shown.iter().any(|capabilities| {
                field.passthrough_support(capabilities) != field.support(capabilities)
            })
        };
        let differing: Vec<&Field> = self.0.iter().filter(differs).collect();
        let mut text = String::from("| Family |");
        for field in &differing {
            push(&mut text, format_args!(" `{}` |", field.name));
        }
        text.push_str("\n|---|");
        text.push_str(&"---|".repeat(differing.len()));
        text.push('\n');
        for capabilities in &shown {
            push(&mut text, format_args!("| {} |", capabilities.title));
            for field in &differing {
                let support = field.passthrough_support(capabilities).label();
                push(&mut text, format_args!(" {support} |"));
            }
            text.push('\n');
        }
        text
    }
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _: std::fmt::Result = text.write_fmt(arguments);
}
