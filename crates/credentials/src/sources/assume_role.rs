//! Roles on top of other credentials: a session outlives the one it was made with, so only the last one's end matters.
//! AWS limits a session made with another session to an hour.
//!
//! [`Chain`] is base credentials, then one `sts:AssumeRole` after another; the last role's session signs, and the
//! whole chain is walked at each refresh. [`Assumed`] is one role more, on credentials that a task of their own
//! keeps fresh: many roles share one base, which is not fetched for each of them.

use std::time::Duration;

use crate::{
    active::{ActiveCredentials, Material},
    files::Watched,
    handle::Handle,
    sources::{Fetch, Source},
    sts::{AssumeRoleLink, Sts},
    unavailable::{Reason, Unavailable},
};

/// Time that each role adds to a fetch.
const TIMEOUT_PER_ROLE: Duration = Duration::from_secs(11);

/// How long a role waits for the credentials below it; then it says that they are what is missing.
const BASE_TIMEOUT: Duration = Duration::from_secs(30);
/// For the base, two exchanges, and one of the base's own between them.
const ASSUMED_TIMEOUT: Duration = Duration::from_secs(70);
const WAY_OUT: &str =
    "the role's sessions may have been revoked, or the role deleted and made again";

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
            Material::Bearer(_) => return Err(bearer()),
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

    fn timeout(&self) -> Duration {
        let roles = u32::try_from(self.roles.len()).unwrap_or(u32::MAX);
        self.base
            .timeout()
            .saturating_add(TIMEOUT_PER_ROLE.saturating_mul(roles))
            .min(Duration::from_secs(70))
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(Reason::StsUnreachable, "assuming the roles took too long")
    }

    fn way_out(&self) -> &'static str {
        WAY_OUT
    }
}

/// A role on top of credentials that another refresher keeps.
pub(crate) struct Assumed {
    pub(crate) base: Handle,
    pub(crate) role: AssumeRoleLink,
    pub(crate) sts: Sts,
}

impl Assumed {
    async fn exchange(&self) -> Result<Material, Unavailable> {
        let base = self.base.wait_ready(BASE_TIMEOUT).await;
        let base = base.map_err(|cause| self.without_base(&cause))?;
        let refused = match self.assume_with(&base).await {
            Err(refused) if is_about_base(&refused) && base.expires_at().is_some() => refused,
            outcome => return outcome,
        };
        // The base's session was revoked before its time.
        match self.base.replace(&base).await {
            Ok(newer) => self.assume_with(&newer).await,
            Err(_) => Err(refused),
        }
    }

    async fn assume_with(&self, base: &ActiveCredentials) -> Result<Material, Unavailable> {
        match base.material() {
            Material::Keys(keys) => self.sts.assume_role(keys.clone(), &self.role).await,
            Material::Bearer(_) => Err(bearer()),
        }
        .map(Material::Keys)
    }

    fn without_base(&self, cause: &Unavailable) -> Unavailable {
        Unavailable::new(
            cause.reason,
            format!(
                "{} is assumed with credentials that are not there: {}",
                self.role.role_arn, cause.message
            ),
        )
    }
}

impl Source for Assumed {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.exchange())
    }

    fn timeout(&self) -> Duration {
        ASSUMED_TIMEOUT
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(
            Reason::StsUnreachable,
            format!("assuming {} took too long", self.role.role_arn),
        )
    }

    fn way_out(&self) -> &'static str {
        WAY_OUT
    }
}

fn is_about_base(refused: &Unavailable) -> bool {
    matches!(
        refused.reason,
        Reason::ExpiredToken | Reason::InvalidCredentials
    )
}

fn bearer() -> Unavailable {
    Unavailable::new(
        Reason::InvalidCredentials,
        "a Bedrock API key cannot assume a role: remove it, or remove the roles",
    )
}
