//! Environment variables as a port: real in the products, a map in tests.
//!
//! The only place of this crate that touches the process environment.

use std::collections::BTreeMap;

/// Where settings are read from.
pub trait Environment: Send + Sync {
    /// Value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the port through which everything else reads the environment"
    )]
    fn get(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<String> {
        Self::get(self, name).cloned()
    }
}

/// A set variable without surrounding white space; blank counts as not set, as in AWS's own tools.
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
