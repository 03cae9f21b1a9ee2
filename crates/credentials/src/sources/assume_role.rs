//! Role chaining: roles assumed with other credentials.
//!
//! A role session stays valid after the credentials that requested it expire, so only the expiration of the last
//! session matters. AWS limits a chained session to one hour. [`Chain`] fetches base credentials and then calls
//! `sts:AssumeRole` for each role, at every refresh; the credentials of the last role sign requests. [`Assumed`] is
//! one additional role whose base credentials are kept fresh by another task, so that many roles share one base.

use std::time::Duration;

use crate::{
    active::{ActiveCredentials, Material},
    files::Watched,
    handle::Handle,
    sources::{Fetch, Source},
    sts::{AssumeRoleLink, Sts},
    unavailable::{Reason, Unavailable},
};

/// Time that each role adds to the timeout of a fetch.
const TIMEOUT_PER_ROLE: Duration = Duration::from_secs(11);

/// How long a role waits for its base credentials; then it reports that they are unavailable.
const BASE_TIMEOUT: Duration = Duration::from_secs(30);
/// Covers the wait for the base, two exchanges, and an exchange of the base between them.
const ASSUMED_TIMEOUT: Duration = Duration::from_secs(70);
/// The fix when AWS rejects the credentials of an assumed role.
pub(crate) const ROLE_FIX: &str =
    "The role's sessions may have been revoked, or the role was deleted and recreated";

/// Roles assumed with the credentials of another source.
pub(crate) struct Chain {
    pub(crate) base: Box<dyn Source>,
    pub(crate) roles: Vec<AssumeRoleLink>,
    pub(crate) sts: Sts,
}

impl Chain {
    async fn assume_all(&self) -> Result<Material, Unavailable> {
        let mut keys = match self.base.fetch().await? {
            Material::Keys(keys) => keys,
            Material::Bearer(_) => return Err(bearer_cannot_assume()),
        };
        for role in &self.roles {
            keys = self.sts.assume_role(keys, role).await?;
        }
        Ok(Material::Keys(keys))
    }
}

impl Source for Chain {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.assume_all())
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
        Unavailable::new(Reason::StsUnreachable, "timeout while assuming the roles")
    }

    fn fix(&self) -> &'static str {
        ROLE_FIX
    }
}

/// A role assumed with the credentials of another refresher.
pub(crate) struct Assumed {
    pub(crate) base: Handle,
    pub(crate) role: AssumeRoleLink,
    pub(crate) sts: Sts,
}

impl Assumed {
    async fn exchange(&self) -> Result<Material, Unavailable> {
        let base = self.base.wait_ready(BASE_TIMEOUT).await;
        let base = base.map_err(|cause| self.without_base(&cause))?;
        let rejection = match self.assume_with(&base).await {
            Err(rejection) if is_about_base(&rejection) && base.expires_at().is_some() => rejection,
            outcome => return outcome,
        };
        // The session of the base was revoked before it expired.
        match self.base.replace(&base, rejection.for_clients()).await {
            Ok(newer) => self.assume_with(&newer).await,
            Err(_) => Err(rejection),
        }
    }

    async fn assume_with(&self, base: &ActiveCredentials) -> Result<Material, Unavailable> {
        match base.material() {
            Material::Keys(keys) => self.sts.assume_role(keys.clone(), &self.role).await,
            Material::Bearer(_) => Err(bearer_cannot_assume()),
        }
        .map(Material::Keys)
    }

    fn without_base(&self, cause: &Unavailable) -> Unavailable {
        Unavailable::new(
            cause.reason,
            format!(
                "the base credentials for {} are not available: {}",
                self.role.role_arn, cause.message
            ),
        )
        .with_public(cause.for_clients())
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
            format!("timeout while assuming {}", self.role.role_arn),
        )
    }

    fn fix(&self) -> &'static str {
        ROLE_FIX
    }
}

fn is_about_base(rejection: &Unavailable) -> bool {
    matches!(
        rejection.reason,
        Reason::ExpiredToken | Reason::InvalidCredentials
    )
}

fn bearer_cannot_assume() -> Unavailable {
    let text = "a Bedrock API key cannot assume roles: remove the key or the roles";
    Unavailable::new(Reason::InvalidCredentials, text).with_public(text)
}
