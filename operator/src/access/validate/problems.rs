//! Collects the invalid fields of a spec.

use crate::error_chain::shown;

/// One invalid field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub(crate) struct Problem {
    /// Path of the field.
    pub(crate) field: String,
    /// What is wrong and how to fix it.
    pub(crate) message: String,
}

/// Collects invalid fields, so that a user sees all of them at once.
#[derive(Debug, Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Problem> {
        self.0
    }

    pub(super) fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        self.0.push(Problem {
            field: field.into(),
            message: message.into(),
        });
    }

    /// Parses a text; records a problem if it does not parse.
    pub(super) fn parse<T>(&mut self, field: &str, text: &str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        text.parse()
            .map_err(|error: T::Err| self.add(field, error.to_string()))
            .ok()
    }
}

/// The problems in one line; the first eight, and the number of further ones.
pub(super) fn list(problems: &[Problem]) -> String {
    shown(problems, 8, "; ", ToString::to_string)
}
