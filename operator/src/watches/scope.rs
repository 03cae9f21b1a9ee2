//! The namespaces that the operator reconciles: all, or only some.

use std::collections::BTreeSet;

/// The namespaces that the operator reconciles.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All namespaces.
    #[default]
    Cluster,
    /// Only these namespaces.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// A scope of these namespaces; empty: the whole cluster.
    pub(crate) fn new(namespaces: &[String]) -> Self {
        if namespaces.is_empty() {
            return Self::Cluster;
        }
        Self::Namespaces(namespaces.iter().cloned().collect())
    }

    /// Calls `make` once for the whole cluster (`None`), or once for each namespace.
    pub(crate) fn each<T>(&self, make: impl Fn(Option<&str>) -> T) -> Vec<T> {
        match self {
            Self::Cluster => vec![make(None)],
            Self::Namespaces(names) => names.iter().map(|name| make(Some(name))).collect(),
        }
    }
}
