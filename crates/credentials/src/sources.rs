//! Credentials sources, one file each. A source fetches once per call; the refresher caches, retries and waits.

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

/// The future of one fetch.
pub(crate) type Fetch<'a> =
    Pin<Box<dyn Future<Output = Result<Material, Unavailable>> + Send + 'a>>;

/// A source of credentials.
pub(crate) trait Source: Send + Sync {
    /// Fetches fresh credentials; reads every file again.
    fn fetch(&self) -> Fetch<'_>;

    /// Files whose replacement triggers a fetch.
    fn watched(&self) -> Vec<Watched> {
        Vec::new()
    }

    /// Timeout of one fetch.
    fn timeout(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// The error when a fetch times out.
    fn timed_out(&self) -> Unavailable;

    /// The fix when AWS rejects the credentials of this source, as a sentence.
    fn fix(&self) -> &'static str;
}
