//! Every field of a Chat Completions request and what becomes of it, as data.
//!
//! Decoding asks this table about fields that no part of it reads; the documentation prints it. A
//! test holds both together: each field is sent to each family, and what happens has to be what the
//! table says.

use std::fmt::Write as _;

use super::{
    error::RequestError,
    json::{Json, Object},
    warnings::Warnings,
};
use crate::families::{FamilyTable, ModelCapabilities};

/// All fields of an endpoint.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) &'static [Field]);

/// What becomes of a field with one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Support {
    /// Does what it says.
    Supported,
    /// Does what it says in another way.
    Mapped(&'static str),
    /// Left out with a warning; refused in strict mode.
    Dropped,
    /// 400.
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

/// A field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) rule: FieldRule,
    /// What it becomes, or why it cannot.
    note: &'static str,
    /// Values that ask for nothing, as compact JSON; with these nothing is dropped or refused.
    pub(crate) harmless: &'static [&'static str],
    /// A value that asks for something; what the test sends.
    #[cfg_attr(
        not(test),
        expect(
            dead_code,
            reason = "the test that holds the table to the code sends it"
        )
    )]
    pub(crate) sample: &'static str,
}

/// How a field is dealt with.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldRule {
    ByFamily(fn(&ModelCapabilities) -> Support),
    Dropped,
    Rejected,
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
            note,
            harmless: &[],
            sample,
        }
    }

    /// The same field with values that ask for nothing.
    pub(crate) const fn but(mut self, harmless: &'static [&'static str]) -> Self {
        self.harmless = harmless;
        self
    }

    pub(crate) fn support(&self, capabilities: &ModelCapabilities) -> Support {
        match self.rule {
            FieldRule::ByFamily(support) => support(capabilities),
            FieldRule::Dropped => Support::Dropped,
            FieldRule::Rejected => Support::Rejected,
        }
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
    /// Refuses fields that change the answer and cannot be honoured.
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

    /// Drops, with a warning each, what nobody took.
    pub(crate) fn drop_remaining(
        &self,
        body: Object<'_>,
        warnings: &mut Warnings,
    ) -> Result<(), RequestError> {
        for (key, value) in body.rest() {
            match self.0.iter().find(|field| field.name == key) {
                Some(field) if field.is_harmless(&value) => {}
                Some(field) => warnings.dropped(field.name, field.note)?,
                None => warnings.dropped(
                    &key,
                    "not a field of this endpoint; what only the model knows goes into \
                     additionalModelRequestFields",
                )?,
            }
        }
        Ok(())
    }

    /// The table for the documentation, as Markdown: first the fields that mean the same for every
    /// family, then what differs by family.
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
        let mut text = String::from("| Field | What becomes of it | Note |\n|---|---|---|\n");
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

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _: std::fmt::Result = text.write_fmt(arguments);
}
