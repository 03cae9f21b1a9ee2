//! A chain: base credentials, then one `sts:AssumeRole` after another; the last role's session signs.
//!
//! The whole chain is walked at each refresh. A session outlives the one it was made with, so only the last
//! one's end matters. AWS limits a session made with another session to an hour.

use std::time::Duration;

use crate::{
    files::Watched,
    lease::Material,
    sources::{Fetch, Source},
    sts::{AssumeRoleLink, Sts},
    unavailable::{Reason, Unavailable},
};

/// Time that each role adds to a fetch.
const PATIENCE_PER_ROLE: Duration = Duration::from_secs(11);

/// Roles on top of another source.
pub(crate) struct Chain {
    pub(crate) base: Box<dyn Source>,
    pub(crate) roles: Vec<AssumeRoleLink>,
    pub(crate) sts: Sts,
}

impl Chain {
    async fn walk(&self) -> Result<Material, Unavailable> {
        let mut keys = match self.base.fetch().await? {
            Material::Keys(keys) => keys,
            Material::Bearer(_) => {
                return Err(Unavailable::new(
                    Reason::InvalidCredentials,
                    "a Bedrock API key cannot assume a role: remove it, or remove the roles",
                ));
            }
        };
        for role in &self.roles {
            keys = self.sts.assume_role(keys, role).await?;
        }
        Ok(Material::Keys(keys))
    }
}

impl Source for Chain {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.walk())
    }

    fn watched(&self) -> Vec<Watched> {
        self.base.watched()
    }

    fn patience(&self) -> Duration {
        let roles = u32::try_from(self.roles.len()).unwrap_or(u32::MAX);
        self.base
            .patience()
            .saturating_add(PATIENCE_PER_ROLE.saturating_mul(roles))
            .min(Duration::from_secs(70))
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::StsUnreachable, "assuming the roles took too long")
    }

    fn way_out(&self) -> &'static str {
        "the role's sessions may have been revoked, or the role deleted and made again"
    }
}
