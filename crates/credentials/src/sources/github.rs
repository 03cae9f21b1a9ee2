//! GitHub Actions: an identity token for this job, requested from the runner's token service.
//!
//! <https://docs.github.com/en/actions/reference/security/oidc>: GET on `ACTIONS_ID_TOKEN_REQUEST_URL` with the
//! audience added, authorized by `ACTIONS_ID_TOKEN_REQUEST_TOKEN`. Both exist only with `id-token: write`.

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    environment::{Environment, value},
    http::Http,
    secret::{Secret, scrub},
    unavailable::{Reason, Unavailable},
};

pub(crate) const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
pub(crate) const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
/// The audience that AWS's IAM OIDC provider for GitHub expects.
const AUDIENCE: &str = "sts.amazonaws.com";

/// Requests a new token for each exchange.
#[derive(Debug)]
pub(crate) struct GitHubToken {
    pub(crate) url: String,
    pub(crate) authorization: Secret,
    pub(crate) http: Http,
}

/// An identity token of this job, as the gateway requests it; `None` without GitHub's two variables.
///
/// # Errors
/// GitHub did not return a token.
pub async fn github_identity_token(
    environment: &dyn Environment,
) -> Option<Result<Zeroizing<String>, Unavailable>> {
    let source = GitHubToken {
        url: value(environment, REQUEST_URL)?,
        authorization: Secret::new(value(environment, REQUEST_TOKEN)?),
        http: Http::new(),
    };
    let token = source.request().await;
    Some(token.map(|token| Zeroizing::new(token.expose().to_owned())))
}

#[derive(Deserialize)]
struct TokenResponse {
    value: Secret,
}

impl GitHubToken {
    pub(crate) async fn request(&self) -> Result<Secret, Unavailable> {
        let failed = |what: &str| {
            Unavailable::new(
                Reason::TokenRequestFailed,
                scrub(
                    &format!("{REQUEST_URL}: {what}. Give the job the permission id-token: write"),
                    &self.authorization,
                ),
            )
        };
        let separator = if self.url.contains('?') { '&' } else { '?' };
        let url = format!("{}{separator}audience={AUDIENCE}", self.url);
        let authorization = Zeroizing::new(format!("Bearer {}", self.authorization.expose()));
        let response = self
            .http
            .get(
                &url,
                &[
                    ("accept", "application/json; api-version=2.0"),
                    ("authorization", authorization.as_str()),
                ],
            )
            .await
            .map_err(|error| failed(&error.to_string()))?;
        if response.status != 200 {
            return Err(failed(&format!("HTTP status {}", response.status)));
        }
        let parsed: TokenResponse = serde_json::from_slice(&response.body)
            .map_err(|_| failed("the response contains no token"))?;
        match parsed.value.expose().trim() {
            "" => Err(failed("the response contains an empty token")),
            token => Ok(Secret::new(token)),
        }
    }
}
