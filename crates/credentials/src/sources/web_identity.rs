//! Web identity: a token of an OIDC provider exchanged for a role's credentials (IRSA, GitHub Actions, others).
//!
//! The token is obtained anew for each exchange and dropped after it. Two errors that AWS calls worth a retry are
//! retried once at once; an expired token only when the file holds another one by now.

use std::{path::PathBuf, time::Duration};

use crate::{
    active::Material,
    files::Watched,
    secret::Secret,
    sources::{Fetch, Source, github::GitHubToken},
    sts::{AssumeRoleLink, Sts},
    unavailable::{Reason, Unavailable},
};

/// Pause before the one retry within an exchange.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// Where the token comes from.
#[derive(Debug)]
pub(crate) enum TokenSource {
    /// A file that something else keeps fresh, such as the kubelet.
    File(PathBuf),
    /// A request to GitHub.
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
        // A newline at the end would become part of the token.
        Ok(text) if !text.trim().is_empty() => Ok(Secret::new(text.trim())),
        Ok(_) => Err(unreadable("is empty")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Unavailable::new(
            Reason::TokenFileMissing,
            format!(
                "AWS_WEB_IDENTITY_TOKEN_FILE {shown} does not exist: the pod needs the projected token volume of its ServiceAccount"
            ),
        )),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(unreadable(
            "may not be read by this user: set fsGroup in the pod's securityContext",
        )),
        Err(error) => Err(unreadable(&format!("is unreadable: {error}"))),
    }
}

impl WebIdentity {
    async fn exchange(&self) -> Result<Material, Unavailable> {
        let token = self.token.read().await?;
        let refused = match self
            .sts
            .assume_role_with_web_identity(&self.role, &token)
            .await
        {
            Ok(credentials) => return Ok(Material::Keys(credentials)),
            Err(refused) => refused,
        };
        let again = match refused.reason {
            Reason::InvalidIdentityToken | Reason::IdpCommunicationError => {
                tokio::time::sleep(RETRY_PAUSE).await;
                self.token.read().await?
            }
            Reason::ExpiredToken => {
                let again = self.token.read().await?;
                if again == token {
                    return Err(refused);
                }
                again
            }
            _ => return Err(refused),
        };
        self.sts
            .assume_role_with_web_identity(&self.role, &again)
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
            "the exchange of the web identity token took too long",
        )
    }

    fn way_out(&self) -> &'static str {
        "the role's sessions may have been revoked, or the role deleted and made again"
    }
}
