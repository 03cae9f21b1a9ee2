//! The token endpoint of GitHub Actions (`ACTIONS_ID_TOKEN_REQUEST_URL`) and its published keys.
//! See <https://docs.github.com/actions/reference/security/oidc>.

use axum::response::Response;
use serde_json::{Map, json};

use super::{header_text, ok};
use crate::clock::{Clock, unix_seconds};
use crate::encoding::{form_pairs, request_id};
use crate::error::AwsError;
use crate::server::{Incoming, Shared};

/// GitHub's issuer; the double signs its tokens with a generated key.
pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";
/// Path of `ACTIONS_ID_TOKEN_REQUEST_URL`, without its query `?api-version=2.0`.
pub(super) const TOKEN_PATH: &str = "/github/oidc/token";
pub(super) const KEYS_PATH: &str = "/.well-known/jwks";
const LIFETIME_SECONDS: u64 = 300;

pub(super) fn token(shared: &Shared, incoming: &Incoming) -> Result<Response, AwsError> {
    let unauthorized = || AwsError::new(401, "Unauthorized", "the request token is not valid");
    let (Some(declared), Some(issuer)) = (&shared.account.config.github, &shared.github) else {
        return Err(unauthorized());
    };
    let authorization = header_text(incoming, "authorization").unwrap_or_default();
    let presented = authorization
        .split_once(' ')
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token);
    if presented != Some(declared.request_token.as_str()) {
        return Err(unauthorized());
    }
    let owner = declared
        .subject
        .trim_start_matches("repo:")
        .split('/')
        .next()
        .unwrap_or_default();
    let audience = form_pairs(&incoming.query)
        .into_iter()
        .find(|(name, _)| name == "audience")
        .map_or_else(
            || format!("https://github.com/{owner}"),
            |(_, audience)| audience,
        );
    let now = unix_seconds(Clock::real());
    let mut claims = Map::new();
    for (name, value) in [
        ("jti", json!(request_id())),
        ("sub", json!(declared.subject)),
        ("aud", json!(audience)),
        ("iss", json!(ISSUER)),
        ("nbf", json!(now.saturating_sub(300))),
        ("exp", json!(now + LIFETIME_SECONDS)),
        ("iat", json!(now)),
    ] {
        claims.insert(name.to_owned(), value);
    }
    for (name, value) in &declared.claims {
        claims.insert(name.clone(), value.clone());
    }
    let token = issuer
        .sign(&claims.into())
        .map_err(|error| AwsError::new(500, "InternalError", error.to_string()))?;
    Ok(ok(
        "application/json",
        json!({ "count": token.len(), "value": token }).to_string(),
    ))
}

pub(super) fn keys(shared: &Shared) -> Result<Response, AwsError> {
    let issuer = shared
        .github
        .as_ref()
        .ok_or_else(|| AwsError::new(404, "NotFound", ""))?;
    Ok(ok("application/json", issuer.jwks().to_string()))
}
