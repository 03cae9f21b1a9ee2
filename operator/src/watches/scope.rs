//! Where an operator works: in the whole cluster, or in some namespaces and nowhere else.

use std::collections::BTreeSet;

/// Where an operator works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Everywhere.
    #[default]
    Cluster,
    /// In these namespaces.
    Namespaces(BTreeSet<String>),
}

impl Scope {
    /// No name: the whole cluster.
    pub(crate) fn new(namespaces: &[String]) -> Self {
        if namespaces.is_empty() {
            return Self::Cluster;
        }
        Self::Namespaces(namespaces.iter().cloned().collect())
    }

    /// One of something for the whole cluster (`None`), or for each namespace.
    pub(crate) fn each<T>(&self, make: impl Fn(Option<&str>) -> T) -> Vec<T> {
        match self {
            Self::Cluster => vec![make(None)],
            Self::Namespaces(names) => names.iter().map(|name| make(Some(name))).collect(),
        }
    }
}
