//! The ways to credentials, one file each. A source fetches once when asked; it does not cache, retry or wait.

pub(crate) mod assume_role;
pub(crate) mod bearer;
pub(crate) mod container;
pub(crate) mod github;
pub(crate) mod instance;
pub(crate) mod lambda;
pub(crate) mod profile;
pub(crate) mod secret_directory;
pub(crate) mod static_keys;
pub(crate) mod web_identity;

use std::{future::Future, pin::Pin, time::Duration};

use crate::{active::Material, files::Watched, unavailable::Unavailable};

/// What a fetch comes to.
pub(crate) type Fetch<'a> =
    Pin<Box<dyn Future<Output = Result<Material, Unavailable>> + Send + 'a>>;

/// Somewhere credentials come from.
pub(crate) trait Source: Send + Sync {
    /// Fetches fresh credentials, reading every file anew.
    fn fetch(&self) -> Fetch<'_>;

    /// Files whose replacement is a reason to fetch.
    fn watched(&self) -> Vec<Watched> {
        Vec::new()
    }

    /// How long one fetch may take in all.
    fn timeout(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// What to say when it took longer.
    fn timed_out(&self) -> Unavailable;

    /// What a person can do when AWS refuses what this source hands out.
    fn way_out(&self) -> &'static str;
}
