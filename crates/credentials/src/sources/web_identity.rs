//! Web identity: exchanges a token of an OIDC provider for a role's credentials (IRSA, GitHub Actions, others).
//!
//! Each exchange reads a fresh token and drops it afterwards. The two errors that AWS documents as retryable are
//! retried once immediately; an expired token is retried only if the file contains a different one by then.

use std::{path::PathBuf, time::Duration};

use crate::{
    active::Material,
    files::Watched,
    secret::Secret,
    sources::{Fetch, Source, assume_role::ROLE_FIX, github::GitHubToken},
    sts::{AssumeRoleLink, Sts},
    unavailable::{Reason, Unavailable},
};

/// Pause before the one retry within an exchange.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// The source of the token.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// A file that another process renews, such as the kubelet.
    File(PathBuf),
    /// GitHub's token service.
    GitHub(GitHubToken),
}

/// Exchanges a token for the credentials of a role.
#[derive(Debug)]
pub(crate) struct WebIdentity {
    pub(crate) token: TokenSource,
    pub(crate) role: AssumeRoleLink,
    pub(crate) sts: Sts,
}

impl TokenSource {
    async fn read(&self) -> Result<Secret, Unavailable> {
        match self {
            Self::File(path) => read_token_file(path).await,
            Self::GitHub(github) => github.request().await,
        }
    }
}

async fn read_token_file(path: &PathBuf) -> Result<Secret, Unavailable> {
    let shown = path.display();
    let unreadable = |what: &str| {
        Unavailable::new(
            Reason::TokenFileUnreadable,
            format!("AWS_WEB_IDENTITY_TOKEN_FILE {shown} {what}"),
        )
    };
    match tokio::fs::read_to_string(path).await {
        // A trailing newline is not part of the token.
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(unreadable("is empty")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Unavailable::new(
            Reason::TokenFileMissing,
            format!(
                "AWS_WEB_IDENTITY_TOKEN_FILE {shown} does not exist: the pod needs the projected token volume of its ServiceAccount"
            ),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(unreadable(
            "is not readable by this user: set fsGroup in the pod's securityContext",
        )),
        Err(error) => Err(unreadable(&format!("is not readable: {error}"))),
    }
}

impl WebIdentity {
    async fn exchange(&self) -> Result<Material, Unavailable> {
        let token = self.token.read().await?;
        let rejection = match self
            .sts
            .assume_role_with_web_identity(&self.role, &token)
            .await
        {
            Ok(credentials) => return Ok(Material::Keys(credentials)),
            Err(rejection) => rejection,
        };
        let token = match rejection.reason {
            Reason::InvalidIdentityToken | Reason::IdpCommunicationError => {
                tokio::time::sleep(RETRY_PAUSE).await;
                self.token.read().await?
            }
            Reason::ExpiredToken => {
                let current = self.token.read().await?;
                if current == token {
                    return Err(rejection);
                }
                current
            }
            _ => return Err(rejection),
        };
        self.sts
            .assume_role_with_web_identity(&self.role, &token)
            .await
            .map(Material::Keys)
    }
}

impl Source for WebIdentity {
    fn fetch(&self) -> Fetch<'_> {
        Box::pin(self.exchange())
    }

    fn watched(&self) -> Vec<Watched> {
        match &self.token {
            TokenSource::File(path) => vec![Watched::when_failing(path)],
            TokenSource::GitHub(_) => Vec::new(),
        }
    }

    fn timeout(&self) -> Duration {
        Duration::from_secs(25)
    }

    fn timed_out(&self) -> Unavailable {
        Unavailable::new(
            Reason::StsUnreachable,
            "timeout while exchanging the web identity token",
        )
    }

    fn fix(&self) -> &'static str {
        ROLE_FIX
    }
}
