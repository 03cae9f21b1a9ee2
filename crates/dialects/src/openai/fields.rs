//! Every field of a Chat Completions request and what becomes of it, as data.
//!
//! Decoding asks this table about fields that no part of it reads; the documentation prints it. A
//! test holds both together: each field is sent to each family, and what happens has to be what the
//! table says.

pub(crate) mod table;

use std::fmt::Write as _;

use super::{decode::Notes, error::RequestError, json::Object};
use crate::families::{BedrockApis, FamilyTable, ModelCapabilities};

/// All fields of an endpoint.
#[derive(Debug)]
pub(crate) struct Fields(pub(crate) &'static [Field]);

/// The fields of Chat Completions.
pub(crate) const CHAT: Fields = Fields(table::FIELDS);

/// What becomes of a field with one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Does what it says.
    Honoured,
    /// Does what it says in another way.
    Mapped(&'static str),
    /// Left out with a warning; refused in strict mode.
    Dropped,
    /// 400.
    Refused,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Honoured => "honoured",
            Self::Mapped(how) => how,
            Self::Dropped => "dropped",
            Self::Refused => "refused",
        }
    }
}

/// A field.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) fate: Fate,
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
pub(crate) enum Fate {
    /// Decoding reads it; the function says what it makes of it.
    Read(fn(&ModelCapabilities) -> Verdict),
    Dropped,
    Refused,
}

impl Field {
    pub(crate) const fn new(
        name: &'static str,
        fate: Fate,
        sample: &'static str,
        note: &'static str,
    ) -> Self {
        Self {
            name,
            fate,
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

    pub(crate) fn verdict(&self, capabilities: &ModelCapabilities) -> Verdict {
        match self.fate {
            Fate::Read(verdict) => verdict(capabilities),
            Fate::Dropped => Verdict::Dropped,
            Fate::Refused => Verdict::Refused,
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
        matches!(self.fate, Fate::Dropped)
    }

    fn is_harmless(&self, value: &super::json::Json<'_>) -> bool {
        let text = serde_json::to_string(value).unwrap_or_default();
        self.harmless.contains(&text.as_str())
    }
}

impl Fields {
    /// Refuses fields that change the answer and cannot be honoured.
    pub(crate) fn refuse(&self, body: &mut Object<'_>) -> Result<(), RequestError> {
        for field in self
            .0
            .iter()
            .filter(|field| matches!(field.fate, Fate::Refused))
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
    pub(crate) fn leftover(&self, body: Object<'_>, notes: &mut Notes) -> Result<(), RequestError> {
        for (key, value) in body.rest() {
            match self.0.iter().find(|field| field.name == key) {
                Some(field) if field.is_harmless(&value) => {}
                Some(field) => notes.dropped(field.name, field.note)?,
                None => notes.dropped(
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
            let mut verdicts = chat.iter().map(|capabilities| field.verdict(capabilities));
            let first = verdicts.next();
            verdicts.all(|verdict| Some(verdict) == first)
        });
        let mut text = String::from("| Field | What becomes of it | Note |\n|---|---|---|\n");
        for field in same {
            let verdict = chat
                .first()
                .map_or("", |capabilities| field.verdict(capabilities).word());
            push(
                &mut text,
                format_args!("| `{}` | {verdict} | {} |\n", field.name, field.note),
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
                    format_args!(" {} |", field.verdict(capabilities).word()),
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

/// The table of Chat Completions for the documentation, as Markdown.
pub fn field_table() -> String {
    CHAT.markdown(|capabilities| BedrockApis::by_converse(capabilities.apis.chat))
}

fn push(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _: std::fmt::Result = text.write_fmt(arguments);
}

#[cfg(test)]
mod tests;
