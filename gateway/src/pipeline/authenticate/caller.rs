//! An authenticated client.

/// An authenticated client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// Name for logs and metrics, such as `anonymous`, `key:ci` or `team-a/app`.
    pub(crate) name: String,
    /// Names or patterns of its models; empty allows all.
    pub(crate) models: Vec<String>,
}

impl Caller {
    pub(super) fn anonymous() -> Self {
        Self::named("anonymous".to_owned())
    }

    /// The client with an API key.
    pub(super) fn with_key(client: &str) -> Self {
        Self::named(Self::key_name(client))
    }

    /// Name of the client with an API key.
    pub(crate) fn key_name(client: &str) -> String {
        ["key:", client].concat()
    }

    /// Name of a ServiceAccount as a client.
    pub(crate) fn service_account_name(namespace: &str, name: &str) -> String {
        format!("{namespace}/{name}")
    }

    fn named(name: String) -> Self {
        Self {
            name,
            models: Vec::new(),
        }
    }
}
