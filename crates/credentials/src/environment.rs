//! Environment variables behind a trait: the process environment in production, a map in tests.
//!
//! The only file of this crate that reads the process environment.

use std::collections::BTreeMap;

/// A source of environment variables.
pub trait Environment: Send + Sync {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;

    /// The names of all variables.
    fn names(&self) -> Vec<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "the rest of the crate reads the environment through this implementation"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os()
            .filter_map(|(name, _)| name.into_string().ok())
            .collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// The trimmed value of a variable; a blank value counts as not set, as in the AWS SDKs.
pub(crate) fn value(environment: &dyn Environment, name: &str) -> Option<String> {
    environment
        .get(name)
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty())
}

/// Whether a variable is set to `true`.
pub(crate) fn flag(environment: &dyn Environment, name: &str) -> bool {
    value(environment, name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
}
